//! The statements about the Hub's repositories. `$1` is the name of the repository that has the blobs, unless it says
//! otherwise.

use crate::db::text::{Text, both, lock, repository_id};

pub(in crate::db) const INSERT: &str = concat!(
    "INSERT INTO hub_repository (repository_id, kind, full_name, created_at)
    VALUES (",
    repository_id!(),
    ", $2, $3, $4) ON CONFLICT (repository_id) DO NOTHING"
);

macro_rules! this_repository {
    () => {
        concat!("repository_id = ", repository_id!())
    };
}

pub(in crate::db) const FIND: &str = concat!(
    "SELECT kind, full_name, created_at, deleted_at IS NOT NULL AS is_deleted FROM hub_repository WHERE ",
    this_repository!()
);

/// Those whose names come after `$1` and before `$2`.
pub(in crate::db) const LIST: &str = "
    SELECT kind, full_name, hub_repository.created_at, FALSE AS is_deleted
    FROM repository JOIN hub_repository ON repository_id = repository.id
    WHERE name > $1 AND name < $2 AND deleted_at IS NULL ORDER BY name LIMIT $3";

pub(in crate::db) const END: &str = concat!(
    "UPDATE hub_repository SET deleted_at = $2 WHERE ",
    this_repository!(),
    " AND deleted_at IS NULL"
);
pub(in crate::db) const DELETE_REFS: &str = concat!("DELETE FROM hub_ref WHERE ", this_repository!());

macro_rules! lock_ended {
    ($db:ident) => {
        concat!(
            "SELECT 1 FROM hub_repository WHERE ",
            this_repository!(),
            " AND deleted_at IS NOT NULL",
            lock!($db, " FOR UPDATE")
        )
    };
}
/// Before anything of it is deleted: one that was made anew has the same row's key.
pub(in crate::db) const LOCK_ENDED: Text = both!(lock_ended);

/// Those that are being deleted.
pub(in crate::db) const ENDED: &str = "
    SELECT name FROM hub_repository JOIN repository ON repository.id = repository_id
    WHERE deleted_at IS NOT NULL ORDER BY repository_id LIMIT $1";

/// Some of the entries of one that is being deleted.
pub(in crate::db) const SOME_ENTRIES: &str = concat!(
    "SELECT tree_oid, name, blob_id FROM hub_tree_entry WHERE ",
    this_repository!(),
    " ORDER BY tree_oid, name LIMIT $2"
);
pub(in crate::db) const DELETE_ENTRIES: &str =
    concat!("DELETE FROM hub_tree_entry WHERE ", this_repository!(), " AND (tree_oid, name) <= ($2, $3)");
pub(in crate::db) const DELETE_COMMITS: &str = concat!(
    "DELETE FROM hub_commit WHERE ",
    this_repository!(),
    " AND oid IN (SELECT oid FROM hub_commit WHERE ",
    this_repository!(),
    " LIMIT $2)"
);
pub(in crate::db) const DELETE: &str =
    concat!("DELETE FROM hub_repository WHERE ", this_repository!(), " AND deleted_at IS NOT NULL");

macro_rules! commit_columns {
    () => {
        "commits.oid, commits.tree_oid, commits.parent_oid, commits.author, commits.message, commits.committed_at"
    };
}

/// `$2` and `$3` are names of references: a branch comes before a tag.
pub(in crate::db) const COMMIT_OF_REF: &str = concat!(
    "SELECT ",
    commit_columns!(),
    " FROM hub_ref JOIN hub_commit AS commits
        ON commits.repository_id = hub_ref.repository_id AND commits.oid = hub_ref.commit_oid
    WHERE hub_ref.repository_id = ",
    repository_id!(),
    " AND hub_ref.name IN ($2, $3) ORDER BY hub_ref.name LIMIT 1"
);

/// `$3` commits from `$2` back.
macro_rules! history {
    (postgres) => {
        history!(type "BYTEA")
    };
    (sqlite) => {
        history!(type "BLOB")
    };
    (type $type:literal) => {
        concat!(
            "WITH RECURSIVE past (oid, place) AS (
                SELECT CAST($2 AS ",
            $type,
            "), CAST(1 AS BIGINT)
                UNION ALL
                SELECT hub_commit.parent_oid, place + 1 FROM past
                JOIN hub_commit ON hub_commit.oid = past.oid AND hub_commit.repository_id = ",
            repository_id!(),
            " WHERE place < $3 AND hub_commit.parent_oid IS NOT NULL)
            SELECT ",
            commit_columns!(),
            " FROM past JOIN hub_commit AS commits ON commits.oid = past.oid AND commits.repository_id = ",
            repository_id!(),
            " ORDER BY place"
        )
    };
}
pub(in crate::db) const HISTORY: Text = both!(history);

pub(in crate::db) const INSERT_COMMIT: &str = concat!(
    "INSERT INTO hub_commit (repository_id, oid, tree_oid, parent_oid, author, message, committed_at)
    VALUES (",
    repository_id!(),
    ", $2, $3, $4, $5, $6, $7) ON CONFLICT (repository_id, oid) DO NOTHING"
);

macro_rules! entry {
    ($rest:literal) => {
        concat!(
            "SELECT name, hub_tree_entry.oid, kind, digest, size
            FROM hub_tree_entry LEFT JOIN blob ON blob.id = blob_id WHERE ",
            this_repository!(),
            " AND tree_oid = $2 AND ",
            $rest
        )
    };
}
/// `$2` is a tree.
pub(in crate::db) const ENTRY: &str = entry!("name = $3");
pub(in crate::db) const ENTRIES: &str = entry!("name > $3 ORDER BY name LIMIT $4");

macro_rules! insert_entries {
    (postgres) => {
        concat!(
            "INSERT INTO hub_tree_entry (repository_id, tree_oid, name, oid, kind, blob_id) SELECT ",
            repository_id!(),
            ", decode(entry ->> 'tree', 'hex'), entry ->> 'name', decode(entry ->> 'oid', 'hex'), entry ->> 'kind', blob.id
            FROM jsonb_array_elements($2) AS entry
            LEFT JOIN blob ON blob.digest = decode(entry ->> 'digest', 'hex')
            ON CONFLICT (repository_id, tree_oid, name) DO NOTHING"
        )
    };
    (sqlite) => {
        concat!(
            "INSERT INTO hub_tree_entry (repository_id, tree_oid, name, oid, kind, blob_id) SELECT ",
            repository_id!(),
            ", unhex(value ->> 'tree'), value ->> 'name', unhex(value ->> 'oid'), value ->> 'kind', blob.id
            FROM json_each($2) LEFT JOIN blob ON blob.digest = unhex(value ->> 'digest') WHERE true
            ON CONFLICT (repository_id, tree_oid, name) DO NOTHING"
        )
    };
}
/// Of trees that are not there, as JSON.
pub(in crate::db) const INSERT_ENTRIES: Text = both!(insert_entries);

pub(in crate::db) const REFS: &str =
    concat!("SELECT name, commit_oid FROM hub_ref WHERE ", this_repository!(), " ORDER BY name LIMIT $2");

macro_rules! lock_ref {
    ($db:ident) => {
        concat!(
            "SELECT commit_oid FROM hub_ref WHERE ",
            this_repository!(),
            " AND name = $2",
            lock!($db, " FOR UPDATE")
        )
    };
}
pub(in crate::db) const LOCK_REF: Text = both!(lock_ref);

pub(in crate::db) const MOVE_REF: &str =
    concat!("UPDATE hub_ref SET commit_oid = $3 WHERE ", this_repository!(), " AND name = $2");

/// Not in a repository that is being deleted, nor beyond `$4` of them.
macro_rules! insert_ref {
    ($db:ident) => {
        concat!(
            "INSERT INTO hub_ref (repository_id, name, commit_oid) SELECT repository_id, $2, $3 FROM hub_repository WHERE ",
            this_repository!(),
            " AND deleted_at IS NULL
                AND (SELECT COUNT(*) FROM hub_ref AS others WHERE others.",
            this_repository!(),
            ") < $4",
            lock!($db, " FOR SHARE OF hub_repository"),
            " ON CONFLICT (repository_id, name) DO NOTHING"
        )
    };
}
pub(in crate::db) const INSERT_REF: Text = both!(insert_ref);

pub(in crate::db) const DELETE_REF: &str =
    concat!("DELETE FROM hub_ref WHERE ", this_repository!(), " AND name = $2");
