-- One text for SQLite and PostgreSQL: TEXT and BIGINT mean the same to both.
-- Times are Unix seconds.

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    -- As the user wrote it, to be shown.
    username TEXT NOT NULL,
    -- In lower case: "Ada" and "ada" are one account.
    username_key TEXT NOT NULL UNIQUE,
    -- PHC string.
    password_hash TEXT NOT NULL,
    -- Names separated by spaces, like the scope of RFC 6749 section 3.3.
    roles TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
