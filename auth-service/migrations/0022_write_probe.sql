-- One row that is written to learn whether the database takes writes.
CREATE TABLE write_probe (
    id BIGINT PRIMARY KEY,
    -- Unix seconds.
    written_at BIGINT NOT NULL
);
