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

-- The replicas that serve, each of which takes its share of the limits.
-- Times are in milliseconds since the epoch, the database's own.
CREATE TABLE replica (
    id         BLOB PRIMARY KEY,
    seen_at_ms BIGINT NOT NULL
);

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
