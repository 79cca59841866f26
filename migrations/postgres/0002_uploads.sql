-- Upload sessions. PostgreSQL.

-- One blob on its way in. Written by compare-and-swap on (status, revision) alone: see src/db/uploads/swap.rs.
-- A third of each page stays free, and no index has a column that a swap of an open session changes, but for `look_at`, which
-- redirected ones alone have: so such a swap
-- stays within its page, and touches no index ("heap-only tuples").
CREATE TABLE blob_upload_session (
    -- Nothing refers to it: sessions are known by their UUID.
    id               BIGINT GENERATED ALWAYS AS IDENTITY,
    upload_uuid      UUID PRIMARY KEY,
    repository_name  TEXT COLLATE "C" NOT NULL,
    user_id          TEXT,
    status           TEXT NOT NULL CHECK (status IN
        ('pending', 'uploading', 'finalizing', 'completed', 'failed', 'aborted', 'expired')),
    transfer_mode    TEXT CHECK (transfer_mode IN ('put', 'multipart', 'proxied', 'redirected')),
    temp_path        TEXT NOT NULL,
    -- What a proxied upload is hashed with as it passes.
    digest_algorithm TEXT NOT NULL DEFAULT 'sha256' CHECK (digest_algorithm IN ('sha256', 'sha512')),
    declared_digest  BYTEA,
    -- Of what is being finalized: its digest, or one zero byte until that has been computed, by `digest_algorithm`.
    claimed_digest   BYTEA,
    final_digest     BYTEA,
    size             BIGINT CHECK (size >= 0),
    -- How many parts there will be, where their client tells no size.
    last_part        BIGINT CHECK (last_part BETWEEN 1 AND 10000),
    part_size        BIGINT CHECK (part_size > 0),
    store_upload_id  TEXT,
    received_offset  BIGINT NOT NULL DEFAULT 0 CHECK (received_offset >= 0),
    hash_state       BYTEA CHECK (length(hash_state) IN (104, 208)),
    tail_id          UUID,
    lease_owner      UUID,
    lease_expires_at TIMESTAMPTZ,
    -- What whoever finalizes it is at, as of the last renewal of its lease.
    progress_phase   TEXT,
    progress_done    BIGINT,
    progress_total   BIGINT,
    failure_reason   TEXT,
    metadata         JSONB NOT NULL,
    -- The front door whose batches began it, where a batch that comes again is to find it; null of any other.
    door             TEXT,
    -- Bytes held for the session while it is open, whatever it comes to. Not part of what compare-and-swap writes.
    reserved         BIGINT NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    revision         BIGINT NOT NULL DEFAULT 0,
    created_at       TIMESTAMPTZ NOT NULL,
    updated_at       TIMESTAMPTZ NOT NULL,
    expires_at       TIMESTAMPTZ NOT NULL,
    -- When the cleaner looks whether its time is up: at the end that it had when somebody last looked, or earlier.
    due_at           TIMESTAMPTZ NOT NULL,
    -- When somebody looks next whether the bytes of a redirected upload are there; null of any other.
    look_at          TIMESTAMPTZ,
    -- When it came to an end; null while it is pending, uploading or finalizing.
    ended_at         TIMESTAMPTZ,
    -- When everything temporary of an ended session was removed; the cleaner's to-do list is what lacks it.
    discarded_at     TIMESTAMPTZ,
    CHECK ((status = 'completed') = (final_digest IS NOT NULL)),
    CHECK (status <> 'finalizing' OR (lease_owner IS NOT NULL AND claimed_digest IS NOT NULL)),
    CHECK ((ended_at IS NULL) = (status IN ('pending', 'uploading', 'finalizing')))
) WITH (fillfactor = 70);

-- Sessions that are open: to end when their time is up, and whose they are.
CREATE INDEX blob_upload_session_due ON blob_upload_session (due_at) WHERE ended_at IS NULL;
CREATE INDEX blob_upload_session_user ON blob_upload_session (user_id)
    WHERE ended_at IS NULL AND user_id IS NOT NULL;
-- Those that are being finalized: to take over, and whether somebody is placing a digest.
CREATE INDEX blob_upload_session_claimed ON blob_upload_session (claimed_digest) WHERE claimed_digest IS NOT NULL;
-- Those whose clients do not tell when the bytes are there: to look, and for whoever asks for the blob.
CREATE INDEX blob_upload_session_look ON blob_upload_session (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX blob_upload_session_redirected ON blob_upload_session (declared_digest, repository_name)
    WHERE look_at IS NOT NULL;
-- Those that a batch which comes again goes on with.
CREATE INDEX blob_upload_session_batched ON blob_upload_session (declared_digest, repository_name)
    WHERE ended_at IS NULL AND door IS NOT NULL;
-- Those that have ended: what is left to discard, and which rows are old enough to forget.
CREATE INDEX blob_upload_session_ended ON blob_upload_session (ended_at)
    WHERE ended_at IS NOT NULL AND discarded_at IS NULL;
CREATE INDEX blob_upload_session_discarded ON blob_upload_session (discarded_at) WHERE discarded_at IS NOT NULL;

-- The parts that Overside itself stored for a proxied upload, with the ETags it insists on.
CREATE TABLE blob_upload_part (
    upload_uuid UUID NOT NULL REFERENCES blob_upload_session (upload_uuid) ON DELETE CASCADE,
    part_number BIGINT NOT NULL CHECK (part_number BETWEEN 1 AND 10000),
    size        BIGINT NOT NULL CHECK (size > 0),
    etag        TEXT NOT NULL,
    PRIMARY KEY (upload_uuid, part_number)
);
