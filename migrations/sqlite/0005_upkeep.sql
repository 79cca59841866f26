-- What replicas share: keys, what stores were seen to do, settings, chores, the audit log. SQLite.

-- Secrets that replicas share. Whoever can read this table can sign upload URLs of the filesystem backend.
CREATE TABLE signing_key (
    purpose    TEXT PRIMARY KEY,
    secret     BLOB NOT NULL,
    created_at TEXT NOT NULL
);

-- What each store was last seen to do, so that a start need not ask again. Made anew when lost.
CREATE TABLE store_probe (
    store        TEXT PRIMARY KEY,
    -- Of the probe that asked; another version asks other questions.
    version      BIGINT NOT NULL,
    capabilities TEXT NOT NULL,
    probed_at    TEXT NOT NULL,
    -- How fast the store was seen to copy and to be read.
    pace         TEXT
);

-- What an administrator has changed while the service runs.
CREATE TABLE config_entry (
    name       TEXT PRIMARY KEY,
    value      TEXT NOT NULL,
    updated_at TEXT NOT NULL
);

-- What is done now and then, by whichever replica comes first.
CREATE TABLE chore (
    name     TEXT PRIMARY KEY,
    begun_at TEXT NOT NULL
);

-- What replicas tell each other while a limit is set: requests under way.
-- Times are in milliseconds since the epoch, the database's own.
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

-- Who did what, to what, when, from where.
CREATE TABLE audit_entry (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    happened_at    TEXT NOT NULL,
    username       TEXT NOT NULL,
    operation      TEXT NOT NULL,
    resource_type  TEXT NOT NULL,
    resource       TEXT NOT NULL,
    -- Null for what is in no project.
    project_name   TEXT,
    -- Which project it is about: its name may have been another's before. Null for what is in none, or was written while
    -- there was none of that name.
    project_id     BIGINT,
    client_address TEXT
);
CREATE INDEX audit_entry_name ON audit_entry (project_name, id) WHERE project_name IS NOT NULL;
CREATE INDEX audit_entry_project ON audit_entry (project_id, id) WHERE project_id IS NOT NULL;
CREATE INDEX audit_entry_happened ON audit_entry (happened_at);
