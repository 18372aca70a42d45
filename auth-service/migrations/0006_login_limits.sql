-- What limits guessing of passwords. One row for each budget that is not full, and one for each
-- address that an account was logged in from.
CREATE TABLE login_limits (
    -- What it is about, as a digest: names that were tried and addresses are nobody's business.
    bucket TEXT PRIMARY KEY,
    -- Unix milliseconds. A budget is full again at this time, a known address is known until it;
    -- from then on the row says nothing.
    until BIGINT NOT NULL
);

CREATE INDEX login_limits_until ON login_limits (until);
