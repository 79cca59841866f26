-- Upload sessions and the blobs they become. SQLite.
--
-- Rules: a migration that has shipped is never edited; both databases number theirs alike and keep the same
-- names; a change must let the previous release run on while replicas are replaced one by one.
-- Times are RFC 3339 texts in UTC, whose order is the order of time; UUIDs are 16 bytes; JSON is text.
-- One blob on its way in. Written by compare-and-swap on (status, revision) alone: see src/db/uploads.rs.
CREATE TABLE blob_upload_session (
    id               INTEGER PRIMARY KEY,
    upload_uuid      BLOB NOT NULL UNIQUE,
    repository_name  TEXT NOT NULL,
    user_id          TEXT,
    status           TEXT NOT NULL CHECK (status IN
        ('pending', 'uploading', 'finalizing', 'completed', 'failed', 'aborted', 'expired')),
    transfer_mode    TEXT CHECK (transfer_mode IN ('put', 'multipart', 'proxied')),
    temp_path        TEXT NOT NULL,
    -- What a proxied upload is hashed with as it passes.
    digest_algorithm TEXT NOT NULL DEFAULT 'sha256' CHECK (digest_algorithm IN ('sha256', 'sha512')),
    declared_digest  TEXT,
    claimed_digest   TEXT,
    final_digest     TEXT,
    size             BIGINT CHECK (size >= 0),
    part_size        BIGINT CHECK (part_size > 0),
    store_upload_id  TEXT,
    received_offset  BIGINT NOT NULL DEFAULT 0 CHECK (received_offset >= 0),
    hash_state       BLOB CHECK (length(hash_state) IN (104, 208)),
    tail_id          BLOB,
    lease_owner      BLOB,
    lease_expires_at TEXT,
    failure_reason   TEXT,
    metadata         TEXT NOT NULL,
    revision         BIGINT NOT NULL DEFAULT 0,
    created_at       TEXT NOT NULL,
    updated_at       TEXT NOT NULL,
    expires_at       TEXT NOT NULL,
    -- When everything temporary of an ended session was removed; the cleaner's to-do list is what lacks it.
    discarded_at     TEXT,
    CHECK ((status = 'completed') = (final_digest IS NOT NULL)),
    CHECK (status <> 'finalizing' OR (lease_owner IS NOT NULL AND claimed_digest IS NOT NULL))
);

-- The cleaner: whose time is up, what is left to discard, which rows are old enough to forget.
CREATE INDEX blob_upload_session_expiring ON blob_upload_session (expires_at)
    WHERE status IN ('pending', 'uploading', 'finalizing');
CREATE INDEX blob_upload_session_undiscarded ON blob_upload_session (updated_at)
    WHERE status IN ('completed', 'failed', 'aborted', 'expired') AND discarded_at IS NULL;
CREATE INDEX blob_upload_session_discarded ON blob_upload_session (discarded_at)
    WHERE discarded_at IS NOT NULL;
-- Finalizing: what to take over, and whether somebody is placing a digest.
CREATE INDEX blob_upload_session_finalizing ON blob_upload_session (lease_expires_at)
    WHERE status = 'finalizing';
CREATE INDEX blob_upload_session_claimed ON blob_upload_session (claimed_digest)
    WHERE status = 'finalizing';

-- The parts that Overside itself stored for a proxied upload, with the ETags it insists on.
CREATE TABLE blob_upload_part (
    upload_uuid BLOB NOT NULL REFERENCES blob_upload_session (upload_uuid) ON DELETE CASCADE,
    part_number BIGINT NOT NULL CHECK (part_number BETWEEN 1 AND 10000),
    size        BIGINT NOT NULL CHECK (size > 0),
    etag        TEXT NOT NULL,
    PRIMARY KEY (upload_uuid, part_number)
);

-- A blob whose bytes were proven. No row, no blob.
CREATE TABLE blob (
    digest        TEXT PRIMARY KEY,
    size          BIGINT NOT NULL CHECK (size >= 0),
    proof         TEXT CHECK (proof IN ('streamed', 'store-checksum', 'store-copy', 'read-back')),
    created_at    TEXT NOT NULL,
    -- When its bytes came to stand at the content-addressed path. Until then they are read where they were proven.
    placed_at     TEXT,
    -- The upload they were proven in, as long as its temporary object must stay: until the copy is done and the
    -- last URL that was given out for it has expired.
    sealed_by     BLOB,
    sealed_path   TEXT,
    sealed_etag   TEXT,
    sealed_until  TEXT,
    -- Until when one replica keeps the others from copying.
    placing_until TEXT,
    -- The tombstone: when the collector saw that no repository links it. Whoever links it writes null here.
    unlinked_at   TEXT,
    -- The collector that is deleting the object, and until when a request of its may still be carried out.
    removal_id    BLOB,
    removing_until TEXT,
    -- No blob that is being removed is linked: what would do so fails here, whatever it has read before.
    CONSTRAINT blob_is_not_removed CHECK (removal_id IS NULL OR unlinked_at IS NOT NULL),
    CHECK ((removal_id IS NULL) = (removing_until IS NULL)),
    -- Of an object without a row, which a crash may leave, nothing is known when it is removed.
    CHECK (proof IS NOT NULL OR removal_id IS NOT NULL),
    CHECK (placed_at IS NOT NULL OR sealed_by IS NOT NULL),
    CHECK ((sealed_by IS NULL) = (sealed_path IS NULL)),
    CHECK (sealed_by IS NULL OR (sealed_until IS NOT NULL AND placing_until IS NOT NULL))
);
CREATE INDEX blob_unplaced ON blob (placing_until) WHERE sealed_by IS NOT NULL;
CREATE INDEX blob_sealed_by ON blob (sealed_by) WHERE sealed_by IS NOT NULL;
CREATE INDEX blob_unlinked ON blob (unlinked_at) WHERE unlinked_at IS NOT NULL;

-- Which repositories a blob can be read from.
CREATE TABLE repository_blob (
    repository_name TEXT NOT NULL,
    digest          TEXT NOT NULL REFERENCES blob (digest),
    created_at      TEXT NOT NULL,
    -- When the last manifest that referred to it was deleted, or a client has asked whether it is there since. A
    -- grace later the collector takes it out of the repository. Null while a manifest refers to it, and for what was
    -- pushed and that no manifest has referred to since.
    unreferenced_at TEXT,
    PRIMARY KEY (repository_name, digest)
);
CREATE INDEX repository_blob_digest ON repository_blob (digest);
CREATE INDEX repository_blob_unreferenced ON repository_blob (unreferenced_at) WHERE unreferenced_at IS NOT NULL;

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
    probed_at    TEXT NOT NULL
);
