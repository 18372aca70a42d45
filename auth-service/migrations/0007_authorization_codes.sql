-- The client that a login was made with: its refresh tokens are bound to it (RFC 6749 section 6).
ALTER TABLE refresh_families ADD COLUMN client_id TEXT NOT NULL DEFAULT 'statewise-login';

-- A login of a browser on its way to the client that will redeem it, RFC 6749 section 4.1.
CREATE TABLE authorization_codes (
    -- SHA-256 of the code in hexadecimal; the code itself is nowhere.
    code_hash TEXT PRIMARY KEY,
    client_id TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    -- RFC 7636 section 4.2, S256.
    challenge TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- When the user logged in: an end of all logins that comes later ends this one too.
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- The login that it was redeemed for: whoever redeems it once more ends that.
    family_id TEXT
);

CREATE INDEX authorization_codes_expires_at ON authorization_codes (expires_at);
