-- Manifests, what they refer to, and tags; and what one replica does for all. SQLite.

-- The exact bytes that were pushed, up to 4 MiB.
CREATE TABLE manifest (
    repository_name TEXT NOT NULL,
    digest          TEXT NOT NULL,
    media_type      TEXT NOT NULL,
    -- As a referrer's descriptor tells it: artifactType, or else the media type of the config.
    artifact_type   TEXT,
    -- JSON, never looked into: PostgreSQL's own type refuses strings that JSON allows.
    annotations     TEXT,
    subject_digest  TEXT,
    payload         BLOB NOT NULL,
    created_at      TEXT NOT NULL,
    PRIMARY KEY (repository_name, digest)
);
CREATE INDEX manifest_subject ON manifest (repository_name, subject_digest, digest)
    WHERE subject_digest IS NOT NULL;

-- The blobs that a manifest needs: none of them leaves the repository before it.
CREATE TABLE manifest_blob (
    repository_name TEXT NOT NULL,
    manifest_digest TEXT NOT NULL,
    digest          TEXT NOT NULL,
    PRIMARY KEY (repository_name, manifest_digest, digest),
    FOREIGN KEY (repository_name, manifest_digest) REFERENCES manifest (repository_name, digest) ON DELETE CASCADE,
    FOREIGN KEY (repository_name, digest) REFERENCES repository_blob (repository_name, digest)
);
CREATE INDEX manifest_blob_digest ON manifest_blob (repository_name, digest);

-- The manifests that an index lists: none of them leaves the repository before it.
CREATE TABLE manifest_child (
    repository_name TEXT NOT NULL,
    manifest_digest TEXT NOT NULL,
    digest          TEXT NOT NULL,
    PRIMARY KEY (repository_name, manifest_digest, digest),
    FOREIGN KEY (repository_name, manifest_digest) REFERENCES manifest (repository_name, digest) ON DELETE CASCADE,
    FOREIGN KEY (repository_name, digest) REFERENCES manifest (repository_name, digest)
);
CREATE INDEX manifest_child_digest ON manifest_child (repository_name, digest);

CREATE TABLE tag (
    repository_name TEXT NOT NULL,
    name            TEXT NOT NULL,
    digest          TEXT NOT NULL,
    updated_at      TEXT NOT NULL,
    PRIMARY KEY (repository_name, name),
    FOREIGN KEY (repository_name, digest) REFERENCES manifest (repository_name, digest) ON DELETE CASCADE
);
CREATE INDEX tag_digest ON tag (repository_name, digest);

-- What is done now and then, by whichever replica comes first.
CREATE TABLE chore (
    name     TEXT PRIMARY KEY,
    begun_at TEXT NOT NULL
);
