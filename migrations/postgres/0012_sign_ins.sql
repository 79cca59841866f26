-- Sign-ins that are limited, counted before what they bring is looked at. PostgreSQL.
-- Times are the database's own, in milliseconds since the epoch: replicas whose clocks differ share one count.
-- It takes the place of login_failure, which the release before goes on using while replicas are replaced.

CREATE TABLE sign_in_attempt (
    -- What is counted: an address, a network, a name from one of them. Names are hashed: people type passwords there.
    subject    TEXT PRIMARY KEY,
    -- Those that failed in a row, and those that are being looked at.
    attempts   BIGINT NOT NULL,
    last_at_ms BIGINT NOT NULL
);
CREATE INDEX sign_in_attempt_last ON sign_in_attempt (last_at_ms);
