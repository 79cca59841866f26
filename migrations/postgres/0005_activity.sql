-- What replicas tell each other while a limit is set. PostgreSQL.
-- Unlogged: after a crash of the database nothing of it is true any more. Times are the database's own, in
-- milliseconds since the epoch: no replica's clock decides which of the others are alive.

-- Requests under way.
CREATE UNLOGGED TABLE replica_activity (
    replica    UUID PRIMARY KEY,
    uploads    BIGINT NOT NULL,
    downloads  BIGINT NOT NULL,
    seen_at_ms BIGINT NOT NULL
);

-- Requests that a replica has let in for a user or an address, since it began to count them.
CREATE UNLOGGED TABLE request_activity (
    replica    UUID NOT NULL,
    subject    TEXT NOT NULL,
    admitted   BIGINT NOT NULL,
    seen_at_ms BIGINT NOT NULL,
    PRIMARY KEY (replica, subject)
);
CREATE INDEX request_activity_seen ON request_activity (seen_at_ms);
