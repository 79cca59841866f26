//! The statements about files. `$1` is a repository's name and `$2` a path, unless it says otherwise.

use crate::db::registry::links::is_readable;
use crate::db::text::{Text, both, is_one_of, lock, repository_id};

macro_rules! file_columns {
    () => {
        "file.path, blob.digest, blob.size, file.media_type, file.updated_by, file.updated_at"
    };
}

macro_rules! this_file {
    () => {
        concat!("repository_id = ", repository_id!(), " AND path = $2")
    };
}

pub(in crate::db) const FIND: &str = concat!(
    "SELECT ",
    file_columns!(),
    " FROM file JOIN blob ON blob.id = file.blob_id WHERE ",
    this_file!()
);

/// The blob that a path has now; nobody is kept from changing that.
pub(in crate::db) const BLOB_OF: &str = concat!("SELECT blob_id FROM file WHERE ", this_file!());

/// A blob's id, by its digest alone.
pub(in crate::db) const READABLE: &str =
    concat!("SELECT id FROM blob WHERE digest = $1 AND ", is_readable!());

macro_rules! lock_file {
    ($db:ident) => {
        concat!("SELECT blob_id FROM file WHERE ", this_file!(), lock!($db, " FOR UPDATE"))
    };
}
pub(in crate::db) const LOCK: Text = both!(lock_file);

/// Nothing where somebody else has made the path meanwhile: what that names has to be locked first.
pub(in crate::db) const INSERT: &str = concat!(
    "INSERT INTO file (repository_id, path, blob_id, media_type, updated_by, updated_at)
    VALUES (",
    repository_id!(),
    ", $2, $3, $4, $5, $6) ON CONFLICT (repository_id, path) DO NOTHING"
);

pub(in crate::db) const UPDATE: &str = concat!(
    "UPDATE file SET blob_id = $3, media_type = $4, updated_by = $5, updated_at = $6 WHERE ",
    this_file!()
);

pub(in crate::db) const DELETE: &str = concat!("DELETE FROM file WHERE ", this_file!());

/// Files from the path `$2` on, that included, and before the path `$3`.
pub(in crate::db) const BELOW: &str = concat!(
    "SELECT ",
    file_columns!(),
    " FROM file JOIN blob ON blob.id = file.blob_id WHERE file.repository_id = ",
    repository_id!(),
    " AND file.path >= $2 AND file.path < $3 ORDER BY file.path LIMIT $4"
);

/// A batch of them, to be deleted.
pub(in crate::db) const BATCH: &str = concat!(
    "SELECT path, blob_id FROM file WHERE repository_id = ",
    repository_id!(),
    " AND path >= $2 AND path < $3 ORDER BY path LIMIT $4"
);

macro_rules! lock_files {
    ($db:ident) => {
        concat!(
            "SELECT path, blob_id FROM file WHERE repository_id = ",
            repository_id!(),
            " AND path ",
            is_one_of!($db, texts "$2"),
            lock!($db, " ORDER BY path FOR UPDATE")
        )
    };
}
pub(in crate::db) const LOCK_ALL: Text = both!(lock_files);

macro_rules! delete_files {
    ($db:ident) => {
        concat!(
            "DELETE FROM file WHERE repository_id = ",
            repository_id!(),
            " AND path ",
            is_one_of!($db, texts "$2")
        )
    };
}
pub(in crate::db) const DELETE_ALL: Text = both!(delete_files);

/// Where the first slash after the directory's own is, counted from there; 0 for a file of the directory.
macro_rules! slash {
    (postgres) => {
        "STRPOS(SUBSTR(entry.path, $4), '/')"
    };
    (sqlite) => {
        "INSTR(SUBSTR(entry.path, $4), '/')"
    };
}

/// What a directory has at once, from `$2` on and before `$3`: whatever lies deeper is passed over, and costs one step in
/// the index however much it is. `$4` is where a name begins in a path, counted in characters from 1; `$5` the most
/// entries; `$6` the least character of all, which no path has. `0` comes after `/`.
macro_rules! entries {
    ($db:ident) => {
        concat!(
            "WITH RECURSIVE entry (path, place) AS (
                SELECT (SELECT path FROM file WHERE repository_id = ",
            repository_id!(),
            " AND path >= $2 AND path < $3 ORDER BY path LIMIT 1), 1
                UNION ALL
                SELECT (SELECT later.path FROM file AS later WHERE later.repository_id = ",
            repository_id!(),
            " AND later.path >= CASE WHEN ",
            slash!($db),
            " = 0 THEN entry.path || $6 ELSE SUBSTR(entry.path, 1, $4 + ",
            slash!($db),
            " - 2) || '0' END
                    AND later.path < $3 ORDER BY later.path LIMIT 1), entry.place + 1
                FROM entry WHERE entry.path IS NOT NULL AND entry.place < $5)
            SELECT ",
            file_columns!(),
            ", CAST(",
            slash!($db),
            " AS BIGINT) AS slash
            FROM entry JOIN file ON file.repository_id = ",
            repository_id!(),
            " AND file.path = entry.path
            JOIN blob ON blob.id = file.blob_id ORDER BY file.path"
        )
    };
}
pub(in crate::db) const ENTRIES: Text = both!(entries);
