-- A disabled user logs in no more.
ALTER TABLE users ADD COLUMN disabled_at BIGINT;
-- Nothing that was issued in this second or before counts any more; what is issued later says so.
ALTER TABLE users ADD COLUMN valid_after BIGINT NOT NULL DEFAULT 0;
-- Logins that began in this second or before are over, but for one that may be spared. Compared on
-- each use, so that a login that was under way at the time is over too.
ALTER TABLE users ADD COLUMN logins_ended_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN spared_login TEXT NOT NULL DEFAULT '';

-- What was taken back, until it would have ended by itself. Kept here first and pushed to the
-- resource servers from here.
CREATE TABLE revocations (
    -- token, session, user or all.
    kind TEXT NOT NULL,
    -- jti, sid, sub or nothing.
    id TEXT NOT NULL,
    -- A login of the user that goes on; empty for none.
    spared TEXT NOT NULL,
    -- user and all: what was issued in this second or before.
    up_to BIGINT NOT NULL,
    -- From this second on it is forgotten. The row of kind "all" stays: logins are compared with it.
    until BIGINT NOT NULL,
    -- 0: not pushed yet.
    published BIGINT NOT NULL,
    PRIMARY KEY (kind, id, spared)
);

CREATE INDEX revocations_until ON revocations (until);
