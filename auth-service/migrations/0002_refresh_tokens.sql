-- A family is one login. It ends at expires_at however often its token was renewed
-- (ASVS 5.0, 10.4.8), or when it is revoked.
CREATE TABLE refresh_families (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE INDEX refresh_families_user_id ON refresh_families (user_id);
CREATE INDEX refresh_families_expires_at ON refresh_families (expires_at);

-- A token is spent when another one names it as its parent. The unique parent lets the database
-- decide between two requests that spend the same token at the same time.
CREATE TABLE refresh_tokens (
    -- SHA-256 of the token in hexadecimal; the token itself is nowhere.
    token_hash TEXT PRIMARY KEY,
    family_id TEXT NOT NULL REFERENCES refresh_families (id) ON DELETE CASCADE,
    parent_hash TEXT UNIQUE,
    issued_at BIGINT NOT NULL
);

CREATE INDEX refresh_tokens_family_id ON refresh_tokens (family_id);
