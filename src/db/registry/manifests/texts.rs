//! The statements about manifests. `$1` is a repository's name and `$2` a manifest's digest, unless it says otherwise.

use crate::db::registry::links::is_readable;
use crate::db::text::{Text, both, is_one_of, lock, manifest_id, repository_id};
use crate::db::upkeep::webhooks::has_policies;

/// The links to blobs that a manifest needs.
macro_rules! lock_links {
    ($db:ident) => {
        concat!(
            "SELECT blob.id, blob.digest, unreferenced_at IS NOT NULL
            FROM repository_blob JOIN blob ON blob.id = repository_blob.blob_id
            WHERE repository_id = ",
            repository_id!(),
            " AND blob.digest ",
            is_one_of!($db, digests "$2"),
            " AND ",
            is_readable!(),
            lock!($db, " ORDER BY blob.id FOR NO KEY UPDATE OF repository_blob")
        )
    };
}
pub(in crate::db) const LOCK_LINKS: Text = both!(lock_links);

/// The links to blobs that a manifest has needed.
macro_rules! lock_references {
    ($db:ident) => {
        concat!(
            "SELECT blob_id FROM repository_blob WHERE repository_id = ",
            repository_id!(),
            " AND blob_id ",
            is_one_of!($db, ids "$2"),
            lock!($db, " ORDER BY blob_id FOR NO KEY UPDATE")
        )
    };
}
pub(in crate::db) const LOCK_REFERENCES: Text = both!(lock_references);

/// None of them is deleted until the index that lists it is written.
macro_rules! children {
    ($db:ident) => {
        concat!(
            "SELECT id, digest FROM manifest WHERE repository_id = ",
            repository_id!(),
            " AND digest ",
            is_one_of!($db, digests "$2"),
            lock!($db, " ORDER BY id FOR KEY SHARE")
        )
    };
}
pub(in crate::db) const CHILDREN: Text = both!(children);

/// The same bytes may come again as another type, where they say nothing of it themselves. Gives whether the project `$9` has
/// webhooks, so that asking costs no round trip of its own; no row where nothing was written.
pub(in crate::db) const INSERT: &str = concat!(
    "INSERT INTO manifest (repository_id, digest, media_type, artifact_type, annotations, subject_digest, payload,
        created_at)
    VALUES (",
    repository_id!(),
    ", $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (repository_id, digest) DO UPDATE SET media_type = excluded.media_type
        WHERE manifest.media_type <> excluded.media_type
    RETURNING ",
    has_policies!()
);

macro_rules! insert_blobs {
    ($db:ident) => {
        concat!(
            "INSERT INTO manifest_blob (manifest_id, repository_id, blob_id)
            SELECT manifest.id, manifest.repository_id, repository_blob.blob_id
            FROM manifest JOIN repository_blob ON repository_blob.repository_id = manifest.repository_id
            WHERE manifest.id = ",
            manifest_id!(),
            " AND repository_blob.blob_id ",
            is_one_of!($db, ids "$3"),
            " ON CONFLICT DO NOTHING"
        )
    };
}
pub(in crate::db) const INSERT_BLOBS: Text = both!(insert_blobs);

macro_rules! insert_children {
    ($db:ident) => {
        concat!(
            "INSERT INTO manifest_child (manifest_id, child_id) SELECT ",
            manifest_id!(),
            ", id FROM manifest WHERE id ",
            is_one_of!($db, ids "$3"),
            " ON CONFLICT DO NOTHING"
        )
    };
}
pub(in crate::db) const INSERT_CHILDREN: Text = both!(insert_children);

macro_rules! keep {
    ($db:ident) => {
        concat!(
            "UPDATE repository_blob SET unreferenced_at = NULL WHERE repository_id = ",
            repository_id!(),
            " AND blob_id ",
            is_one_of!($db, ids "$2"),
            " AND unreferenced_at IS NOT NULL"
        )
    };
}
pub(in crate::db) const KEEP: Text = both!(keep);

/// What a push would add to: whether the manifest is there, and how many of the tags are.
macro_rules! there {
    ($db:ident) => {
        concat!(
            "SELECT ",
            manifest_id!(),
            " IS NOT NULL, (SELECT COUNT(*) FROM tag WHERE repository_id = ",
            repository_id!(),
            " AND name ",
            is_one_of!($db, texts "$3"),
            ")"
        )
    };
}
pub(in crate::db) const THERE: Text = both!(there);

macro_rules! in_order {
    (postgres) => {
        "jsonb_array_elements_text($4) AS value WHERE true ORDER BY value COLLATE \"C\""
    };
    (sqlite) => {
        "json_each($4) WHERE true"
    };
}

/// In order, so that two pushes of the same tags do not wait for each other.
macro_rules! upsert_tags {
    ($db:ident) => {
        concat!(
            "INSERT INTO tag (repository_id, name, manifest_id, updated_at) SELECT ",
            repository_id!(),
            ", value, ",
            manifest_id!(),
            ", $3 FROM ",
            in_order!($db),
            " ON CONFLICT (repository_id, name) DO UPDATE
            SET manifest_id = excluded.manifest_id, updated_at = excluded.updated_at"
        )
    };
}
pub(in crate::db) const UPSERT_TAGS: Text = both!(upsert_tags);

macro_rules! by_digest {
    ($columns:literal) => {
        concat!("SELECT ", $columns, " FROM manifest WHERE id = ", manifest_id!())
    };
}

macro_rules! by_tag {
    ($columns:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM tag JOIN manifest ON manifest.id = tag.manifest_id WHERE tag.repository_id = ",
            repository_id!(),
            " AND tag.name = $2"
        )
    };
}

pub(in crate::db) const FIND_BY_DIGEST: &str = by_digest!("digest, media_type, payload");
pub(in crate::db) const FIND_BY_TAG: &str = by_tag!("digest, media_type, payload");

/// The length alone leaves the bytes where they are.
pub(in crate::db) const DESCRIBE_BY_DIGEST: &str =
    by_digest!("digest, media_type, CAST(LENGTH(payload) AS BIGINT) AS size");
pub(in crate::db) const DESCRIBE_BY_TAG: &str =
    by_tag!("digest, media_type, CAST(LENGTH(payload) AS BIGINT) AS size");

pub(in crate::db) const REFERENCES: &str =
    concat!("SELECT blob_id FROM manifest_blob WHERE manifest_id = ", manifest_id!());

macro_rules! lock_manifest {
    ($db:ident) => {
        concat!("SELECT id FROM manifest WHERE id = ", manifest_id!(), lock!($db, " FOR UPDATE"))
    };
}
pub(in crate::db) const LOCK: Text = both!(lock_manifest);

/// An index that lists it.
pub(in crate::db) const LISTED_BY: &str = "
    SELECT manifest.digest FROM manifest_child JOIN manifest ON manifest.id = manifest_child.manifest_id
    WHERE child_id = $1 LIMIT 1";

/// Deleting the manifest would take its tags in the order that they lie in.
macro_rules! lock_tags {
    ($db:ident) => {
        concat!("SELECT name FROM tag WHERE manifest_id = $1", lock!($db, " ORDER BY name FOR UPDATE"))
    };
}
pub(in crate::db) const LOCK_TAGS: Text = both!(lock_tags);

pub(in crate::db) const DELETE: &str = "DELETE FROM manifest WHERE id = $1";
