//! The texts of statements.

use serde_json::Value;

use super::Db;
use crate::domain::digest::Digest;

/// One statement where the two databases need two texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    pub postgres: &'static str,
    pub sqlite: &'static str,
}

impl Db {
    pub(super) const fn text(&self, text: Text) -> &'static str {
        match self {
            Self::Postgres(_) => text.postgres,
            Self::Sqlite(_) => text.sqlite,
        }
    }
}

/// Both texts of a statement that a macro writes when it is given `postgres` or `sqlite`.
macro_rules! both {
    ($statement:ident) => {
        $crate::db::text::Text { postgres: $statement!(postgres), sqlite: $statement!(sqlite) }
    };
}
pub(super) use both;

/// The database's own time in milliseconds: replicas' clocks need not agree.
macro_rules! now_ms {
    (postgres) => {
        "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
    (sqlite) => {
        "CAST(unixepoch('now', 'subsec') * 1000 AS BIGINT)"
    };
}
pub(super) use now_ms;

/// That a column is one of the texts, ids or digests in a JSON array, which both databases take as one parameter; see
/// [`digests`]. PostgreSQL gets an array: told a list of unknown length, it would rather read the whole table.
macro_rules! is_one_of {
    (postgres, texts $parameter:literal) => {
        concat!("= ANY (ARRAY (SELECT jsonb_array_elements_text(", $parameter, ")))")
    };
    (postgres, ids $parameter:literal) => {
        concat!("= ANY (ARRAY (SELECT CAST(jsonb_array_elements_text(", $parameter, ") AS BIGINT)))")
    };
    (postgres, digests $parameter:literal) => {
        concat!("= ANY (ARRAY (SELECT decode(jsonb_array_elements_text(", $parameter, "), 'hex')))")
    };
    (sqlite, digests $parameter:literal) => {
        concat!("IN (SELECT unhex(value) FROM json_each(", $parameter, "))")
    };
    (sqlite, $kind:ident $parameter:literal) => {
        concat!("IN (SELECT value FROM json_each(", $parameter, "))")
    };
}
pub(super) use is_one_of;

/// Digests as one parameter: see `is_one_of!`.
pub(super) fn digests<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Value {
    digests.into_iter().map(Digest::hex).collect()
}

/// What locks the rows that a statement reads: on PostgreSQL. SQLite has one writer.
macro_rules! lock {
    (postgres, $lock:literal) => {
        $lock
    };
    (sqlite, $lock:literal) => {
        ""
    };
}
pub(super) use lock;

/// The id of the repository `$1`.
macro_rules! repository_id {
    () => {
        "(SELECT id FROM repository WHERE name = $1)"
    };
}
pub(super) use repository_id;

/// The id of the blob with the digest `$2`.
macro_rules! blob_id {
    () => {
        "(SELECT id FROM blob WHERE digest = $2)"
    };
}
pub(super) use blob_id;

/// The id of the manifest with the digest `$2` in the repository `$1`.
macro_rules! manifest_id {
    () => {
        "(SELECT id FROM manifest
            WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2)"
    };
}
pub(super) use manifest_id;

/// Whether the row of `repository` has anything. Scalar subqueries, and not EXISTS: PostgreSQL would hash whole tables
/// for that.
macro_rules! has_content {
    () => {
        "COALESCE((SELECT 1 FROM repository_blob WHERE repository_id = repository.id LIMIT 1),
            (SELECT 1 FROM manifest WHERE repository_id = repository.id LIMIT 1),
            (SELECT 1 FROM hub_repository WHERE repository_id = repository.id)) IS NOT NULL"
    };
}
pub(super) use has_content;
