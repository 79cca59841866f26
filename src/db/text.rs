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
