-- What repositories have: blobs, manifests, tags. SQLite.
--
-- Rules of all these files: one that has shipped is never edited; both databases number theirs alike and keep the same
-- names; a change must let the previous release run on while replicas are replaced one by one.
-- Built for 100 million blobs: rows refer to each other by number. A digest is its 32 or 64 bytes, and the length tells
-- the algorithm (SHA-256, SHA-512); one whose length is taken, such as BLAKE3, will be stored behind a byte that names it.
-- Names sort byte by byte, as pages of them are cut.
-- Times are RFC 3339 texts in UTC, whose order is the order of time; UUIDs are 16 bytes; JSON is text.

-- A name that something was pushed to. Its row stays when it is empty again: an empty repository is not listed.
CREATE TABLE repository (
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    -- The first segment. A name and no reference: repositories are counted and kept whether or not `project` has a row
    -- of it, and a project that ends and is made anew has another id.
    project_name TEXT NOT NULL GENERATED ALWAYS AS (substr(name, 1, instr(name || '/', '/') - 1)) STORED
);
CREATE INDEX repository_project ON repository (project_name, name);

-- A blob whose bytes were proven. No row, no blob.
CREATE TABLE blob (
    id            INTEGER PRIMARY KEY,
    digest        BLOB NOT NULL UNIQUE CHECK (length(digest) IN (32, 64)),
    size          BIGINT NOT NULL CHECK (size >= 0),
    proof         TEXT CHECK (proof IN ('streamed', 'store-checksum', 'store-copy', 'read-back')),
    created_at    TEXT NOT NULL,
    -- When its bytes came to stand at the content-addressed path. Until then they are read where they were proven.
    placed_at     TEXT,
    -- When the object was seen to be gone from the store. Whoever uploads the bytes again writes null here.
    lost_at       TEXT,
    -- The upload they were proven in, as long as its temporary object must stay: until the copy is done and the
    -- last URL that was given out for it has expired.
    sealed_by     BLOB,
    sealed_path   TEXT,
    sealed_etag   TEXT,
    sealed_until  TEXT,
    -- Until when one replica keeps the others from copying.
    placing_until TEXT,
    -- 1 while the bytes were proven only under a key that a client's URL may still write to: nobody reads, links or
    -- refers to the blob before a copy of them is proven and placed. A second upload of the same bytes must not rest on
    -- the first one's: it counts up, and the constraint sends it back to place its own.
    exposed       SMALLINT NOT NULL DEFAULT 0 CONSTRAINT blob_is_exposed_once CHECK (exposed IN (0, 1)),
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
    repository_id   BIGINT NOT NULL REFERENCES repository (id),
    blob_id         BIGINT NOT NULL REFERENCES blob (id),
    created_at      TEXT NOT NULL,
    -- When the last manifest or file that referred to it was deleted, or a client has asked whether it is there since.
    -- A grace later the collector takes it out of the repository. Null while one refers to it, and for what was pushed
    -- and that none has referred to since.
    unreferenced_at TEXT,
    -- Whether it stays until somebody deletes it, whatever refers to it: an object of Git LFS, which commits name that nobody
    -- here sees.
    is_kept         BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (repository_id, blob_id)
) WITHOUT ROWID;
CREATE INDEX repository_blob_blob ON repository_blob (blob_id);
CREATE INDEX repository_blob_unreferenced ON repository_blob (unreferenced_at) WHERE unreferenced_at IS NOT NULL;

-- The exact bytes that were pushed, up to 4 MiB.
CREATE TABLE manifest (
    id             INTEGER PRIMARY KEY,
    repository_id  BIGINT NOT NULL REFERENCES repository (id),
    digest         BLOB NOT NULL CHECK (length(digest) IN (32, 64)),
    media_type     TEXT NOT NULL,
    -- As a referrer's descriptor tells it: artifactType, or else the media type of the config.
    artifact_type  TEXT,
    -- JSON, never looked into: PostgreSQL's own type refuses strings that JSON allows.
    annotations    TEXT,
    subject_digest BLOB,
    payload        BLOB NOT NULL,
    created_at     TEXT NOT NULL,
    UNIQUE (repository_id, digest)
);
CREATE INDEX manifest_subject ON manifest (repository_id, subject_digest, digest)
    WHERE subject_digest IS NOT NULL;

-- The blobs that a manifest needs: none of them leaves the repository before it.
CREATE TABLE manifest_blob (
    manifest_id   BIGINT NOT NULL REFERENCES manifest (id) ON DELETE CASCADE,
    -- The manifest's.
    repository_id BIGINT NOT NULL,
    blob_id       BIGINT NOT NULL,
    PRIMARY KEY (manifest_id, blob_id),
    FOREIGN KEY (repository_id, blob_id) REFERENCES repository_blob (repository_id, blob_id)
) WITHOUT ROWID;
CREATE INDEX manifest_blob_link ON manifest_blob (repository_id, blob_id);

-- The manifests of the same repository that an index lists: none of them leaves it before the index.
CREATE TABLE manifest_child (
    manifest_id BIGINT NOT NULL REFERENCES manifest (id) ON DELETE CASCADE,
    child_id    BIGINT NOT NULL REFERENCES manifest (id),
    PRIMARY KEY (manifest_id, child_id)
) WITHOUT ROWID;
CREATE INDEX manifest_child_child ON manifest_child (child_id);

CREATE TABLE tag (
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    name          TEXT NOT NULL,
    manifest_id   BIGINT NOT NULL REFERENCES manifest (id) ON DELETE CASCADE,
    updated_at    TEXT NOT NULL,
    PRIMARY KEY (repository_id, name)
) WITHOUT ROWID;
CREATE INDEX tag_manifest ON tag (manifest_id);

-- Files that somebody keeps others from changing (Git LFS, "File Locking API"). A path is a client's text and names nothing
-- here.
CREATE TABLE file_lock (
    id            BLOB PRIMARY KEY,
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    path          TEXT NOT NULL,
    -- A user's or a robot's name; null where nobody signs in.
    owner_name    TEXT,
    locked_at     TEXT NOT NULL,
    UNIQUE (repository_id, path)
) WITHOUT ROWID;
CREATE INDEX file_lock_owner ON file_lock (owner_name) WHERE owner_name IS NOT NULL;

-- Files by their paths, for front doors whose clients know no digests. A path holds its blob as a manifest does.
CREATE TABLE file (
    repository_id BIGINT NOT NULL,
    -- Segments with slashes between them; what it may have is in src/domain/path.rs.
    path          TEXT NOT NULL,
    blob_id       BIGINT NOT NULL,
    media_type    TEXT NOT NULL,
    -- Who put it there last; null where nobody has to sign in.
    updated_by    TEXT,
    updated_at    TEXT NOT NULL,
    PRIMARY KEY (repository_id, path),
    FOREIGN KEY (repository_id, blob_id) REFERENCES repository_blob (repository_id, blob_id)
) WITHOUT ROWID;
CREATE INDEX file_link ON file (repository_id, blob_id);

-- Repositories of the Hugging Face Hub. Each has its blobs in the repository whose id it has. Objects of Git are named by
-- their SHA-1, 20 bytes.
CREATE TABLE hub_repository (
    repository_id BIGINT PRIMARY KEY REFERENCES repository (id),
    kind          TEXT NOT NULL CHECK (kind IN ('models', 'datasets', 'spaces')),
    -- As whoever made it wrote it, `project/Name`. The repository has it in lower case, so no two differ in case alone.
    full_name     TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    -- Since when it is being deleted: it is not there for anybody, and its name is taken until all of it is gone.
    deleted_at    TEXT
);
CREATE INDEX hub_repository_deleted ON hub_repository (repository_id) WHERE deleted_at IS NOT NULL;

-- What a tree has. Trees are shared by all commits of a repository that have them, and never change. A file holds its blob
-- as a manifest does.
CREATE TABLE hub_tree_entry (
    repository_id BIGINT NOT NULL REFERENCES hub_repository (repository_id),
    tree_oid      BLOB NOT NULL CHECK (length(tree_oid) = 20),
    name          TEXT NOT NULL,
    -- Of the tree, the file, or the pointer to a file of Git LFS.
    oid           BLOB NOT NULL CHECK (length(oid) = 20),
    kind          TEXT NOT NULL CHECK (kind IN ('directory', 'regular', 'lfs')),
    blob_id       BIGINT,
    PRIMARY KEY (repository_id, tree_oid, name),
    FOREIGN KEY (repository_id, blob_id) REFERENCES repository_blob (repository_id, blob_id),
    CHECK ((kind = 'directory') = (blob_id IS NULL))
) WITHOUT ROWID;
CREATE INDEX hub_tree_entry_link ON hub_tree_entry (repository_id, blob_id) WHERE blob_id IS NOT NULL;

CREATE TABLE hub_commit (
    repository_id BIGINT NOT NULL REFERENCES hub_repository (repository_id),
    oid           BLOB NOT NULL CHECK (length(oid) = 20),
    tree_oid      BLOB NOT NULL CHECK (length(tree_oid) = 20),
    parent_oid    BLOB CHECK (length(parent_oid) = 20),
    author        TEXT NOT NULL,
    message       TEXT NOT NULL,
    committed_at  TEXT NOT NULL,
    PRIMARY KEY (repository_id, oid)
) WITHOUT ROWID;

-- Branches, `refs/heads/NAME`, and tags, `refs/tags/NAME`.
CREATE TABLE hub_ref (
    repository_id BIGINT NOT NULL REFERENCES hub_repository (repository_id),
    name          TEXT NOT NULL,
    commit_oid    BLOB NOT NULL,
    PRIMARY KEY (repository_id, name),
    FOREIGN KEY (repository_id, commit_oid) REFERENCES hub_commit (repository_id, oid)
) WITHOUT ROWID;
