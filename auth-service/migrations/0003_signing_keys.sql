-- The signing keys that all replicas of the auth-service share. What a key does at a time follows
-- from signs_from of it and of the next generation, so nothing has to be updated when it changes.
CREATE TABLE signing_keys (
    -- Of two replicas that make the next key at the same time, the database takes one.
    generation BIGINT PRIMARY KEY,
    kid TEXT NOT NULL UNIQUE,
    algorithm TEXT NOT NULL,
    -- PKCS#8 under AES-256-GCM, in base64url: nonce, ciphertext, tag.
    sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Published from created_at on, and signing from here until the next one does.
    signs_from BIGINT NOT NULL
);
