//! The texts of statements.

use super::Db;

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

/// The rows of a JSON array of texts, which both databases take as one parameter.
macro_rules! texts {
    (postgres, $parameter:literal) => {
        concat!("(SELECT jsonb_array_elements_text(", $parameter, "))")
    };
    (sqlite, $parameter:literal) => {
        concat!("(SELECT value FROM json_each(", $parameter, "))")
    };
}
pub(super) use texts;

/// The rows of a JSON array of numbers.
macro_rules! ids {
    (postgres, $parameter:literal) => {
        concat!("(SELECT CAST(jsonb_array_elements_text(", $parameter, ") AS BIGINT))")
    };
    (sqlite, $parameter:literal) => {
        concat!("(SELECT value FROM json_each(", $parameter, "))")
    };
}
pub(super) use ids;

/// The rows of a JSON array of digests' hexadecimal digits: see `types::digests`.
macro_rules! digests {
    (postgres, $parameter:literal) => {
        concat!("(SELECT decode(jsonb_array_elements_text(", $parameter, "), 'hex'))")
    };
    (sqlite, $parameter:literal) => {
        concat!("(SELECT unhex(value) FROM json_each(", $parameter, "))")
    };
}
pub(super) use digests;

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
            (SELECT 1 FROM manifest WHERE repository_id = repository.id LIMIT 1)) IS NOT NULL"
    };
}
pub(super) use has_content;
