-- What replicas share: keys, what stores were seen to do, settings, chores, the audit log. PostgreSQL.

-- Secrets that replicas share. Whoever can read this table can sign upload URLs of the filesystem backend.
CREATE TABLE signing_key (
    purpose    TEXT PRIMARY KEY,
    secret     BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

-- What each store was last seen to do, so that a start need not ask again. Made anew when lost.
CREATE TABLE store_probe (
    store        TEXT PRIMARY KEY,
    -- Of the probe that asked; another version asks other questions.
    version      BIGINT NOT NULL,
    capabilities JSONB NOT NULL,
    probed_at    TIMESTAMPTZ NOT NULL,
    -- How fast the store was seen to copy and to be read.
    pace         JSONB
);

-- What an administrator has changed while the service runs.
CREATE TABLE config_entry (
    name       TEXT PRIMARY KEY,
    value      TEXT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

-- What is done now and then, by whichever replica comes first.
CREATE TABLE chore (
    name     TEXT PRIMARY KEY,
    begun_at TIMESTAMPTZ NOT NULL
);

-- The replicas that serve, each of which takes its share of the limits.
-- Unlogged: after a crash of the database each makes its row anew.
-- Times are in milliseconds since the epoch, the database's own.
CREATE UNLOGGED TABLE replica (
    id         UUID PRIMARY KEY,
    seen_at_ms BIGINT NOT NULL
);

-- Who did what, to what, when, from where. A table for each month, so that what is old enough goes with its table: the
-- month in which it happened, by UTC.
CREATE SEQUENCE audit_entry_id;
CREATE TABLE audit_entry (
    id             BIGINT NOT NULL DEFAULT nextval('audit_entry_id'),
    happened_at    TIMESTAMPTZ NOT NULL,
    username       TEXT NOT NULL,
    operation      TEXT NOT NULL,
    resource_type  TEXT NOT NULL,
    resource       TEXT NOT NULL,
    -- Null for what is in no project.
    project_name   TEXT COLLATE "C",
    -- Which project it is about: its name may have been another's before. Null for what is in none, or was written while
    -- there was none of that name.
    project_id     BIGINT,
    client_address TEXT
) PARTITION BY RANGE (happened_at);
CREATE INDEX audit_entry_newest ON audit_entry (id);
CREATE INDEX audit_entry_name ON audit_entry (project_name, id) WHERE project_name IS NOT NULL;
CREATE INDEX audit_entry_project ON audit_entry (project_id, id) WHERE project_id IS NOT NULL;

-- Makes the table of a month. Attached and not created in place, which would lock out whoever writes and reads.
CREATE FUNCTION make_audit_month(day TIMESTAMPTZ) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    first TIMESTAMP := date_trunc('month', day AT TIME ZONE 'UTC');
    month TEXT := to_char(first, '"audit_entry_"YYYY_MM');
BEGIN
    IF to_regclass(month) IS NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('make_audit_month', 1));
        -- Read again from the table: to_regclass would answer what it knew before the lock was waited for.
        IF NOT EXISTS (SELECT 1 FROM pg_class WHERE relname = month
            AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'audit_entry'::REGCLASS)) THEN
            EXECUTE format('CREATE TABLE %I (LIKE audit_entry INCLUDING DEFAULTS)', month);
            EXECUTE format('ALTER TABLE audit_entry ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                month, first AT TIME ZONE 'UTC', (first + INTERVAL '1 month') AT TIME ZONE 'UTC');
        END IF;
    END IF;
END $$;
