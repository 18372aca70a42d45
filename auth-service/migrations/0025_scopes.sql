-- What of its user a client was granted (RFC 6749 section 3.3); NULL: it asked for nothing, and has all.
ALTER TABLE authorization_codes ADD COLUMN scope TEXT;
ALTER TABLE refresh_families ADD COLUMN scope TEXT;
