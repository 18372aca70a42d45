-- What is pending is looked for twice a second, among a million rows perhaps.
CREATE INDEX revocations_pending ON revocations (kind, id, spared) WHERE published = 0;
