-- The token itself, sealed under a key that only whoever holds its parent can derive: a client that
-- did not get the answer gets the same token again. Emptied when the token is spent and, by a task,
-- when the time for asking again is over.
ALTER TABLE refresh_tokens ADD COLUMN sealed TEXT;

CREATE INDEX refresh_tokens_sealed ON refresh_tokens (issued_at) WHERE sealed IS NOT NULL;
