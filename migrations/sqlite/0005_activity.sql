-- What replicas tell each other while a limit is set. SQLite.
-- Times are in milliseconds since the epoch.

-- Requests under way.
CREATE TABLE replica_activity (
    replica    BLOB PRIMARY KEY,
    uploads    BIGINT NOT NULL,
    downloads  BIGINT NOT NULL,
    seen_at_ms BIGINT NOT NULL
);

-- Requests that a replica has let in for a user or an address, since it began to count them.
CREATE TABLE request_activity (
    replica    BLOB NOT NULL,
    subject    TEXT NOT NULL,
    admitted   BIGINT NOT NULL,
    seen_at_ms BIGINT NOT NULL,
    PRIMARY KEY (replica, subject)
);
CREATE INDEX request_activity_seen ON request_activity (seen_at_ms);
