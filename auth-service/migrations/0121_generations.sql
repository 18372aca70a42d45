-- Ends of logins are numbered: each end of a user's logins, of everybody's, and each change of roles
-- begins a generation. Whatever is issued bears the last one that its issuer had read, so an end
-- refuses all that was issued on an earlier reading, however long the issuing took.
CREATE TABLE generations (
    -- The only row, locked by each end: so numbers are in the order of the commits.
    id BIGINT PRIMARY KEY,
    -- Unix milliseconds of the last end, or one more than the end before: a database that is set back
    -- gives no number out again.
    last BIGINT NOT NULL
);
INSERT INTO generations (id, last) VALUES (1, 0);

-- The first generation in which what was issued for the user counts, and in which logins go on.
ALTER TABLE users ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN logins_generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE revocations ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
-- What an earlier version began bears none, and its time decides alone.
ALTER TABLE refresh_families ADD COLUMN generation BIGINT NOT NULL DEFAULT 9223372036854775807;
ALTER TABLE authorization_codes ADD COLUMN generation BIGINT NOT NULL DEFAULT 9223372036854775807;

-- Of a token: its login, so that not every token of one login is revoked by itself.
ALTER TABLE revocations ADD COLUMN login TEXT NOT NULL DEFAULT '';
CREATE INDEX revocations_login ON revocations (login) WHERE login <> '';
