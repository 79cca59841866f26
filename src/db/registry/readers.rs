//! Where somebody may read a blob that they do not say where to find: one statement, whoever has it.

use crate::db::accounts::authorization::NOBODY;
use crate::db::text::Text;
use crate::db::{Db, DbError, Result, on_pool};
use crate::domain::access::ProjectName;
use crate::domain::digest::Digest;
use crate::domain::name::{NameError, RepositoryName};

/// Among the first of the repositories that have a blob one that somebody may read. `$1` to `$5`: the digest, how many
/// are looked at, who looks, whether they see all, and the projects that they see besides.
macro_rules! readable {
    ($project:literal, $names:literal) => {
        concat!(
            "SELECT candidate.repository_name
            FROM (SELECT repository_name FROM repository_blob WHERE digest = $1 LIMIT $2) AS candidate
            LEFT JOIN project ON project.name = ",
            $project,
            " LEFT JOIN project_member
                ON project_member.project_id = project.id AND project_member.user_id = $3
            WHERE $4 OR project.is_public OR project_member.role IS NOT NULL OR project.name IN (",
            $names,
            ") LIMIT 1"
        )
    };
}

const READABLE: Text = Text {
    postgres: readable!(
        "split_part(candidate.repository_name, '/', 1)",
        "SELECT jsonb_array_elements_text($5)"
    ),
    sqlite: readable!(
        "substr(candidate.repository_name, 1, instr(candidate.repository_name || '/', '/') - 1)",
        "SELECT value FROM json_each($5)"
    ),
};

macro_rules! of_any {
    ($names:literal) => {
        concat!(
            "SELECT repository_name FROM repository_blob WHERE digest = $1 AND repository_name IN (",
            $names,
            ") LIMIT 1"
        )
    };
}

const OF_ANY: Text = Text {
    postgres: of_any!("SELECT jsonb_array_elements_text($2)"),
    sqlite: of_any!("SELECT value FROM json_each($2)"),
};

/// Who looks for a blob in whatever repository has it.
#[derive(Debug, Clone, Default)]
pub struct BlobReader {
    /// Reads all of them.
    pub is_all: bool,
    /// Reads those of projects that this user is a member of.
    pub user: Option<i64>,
    /// Reads those of these projects as well.
    pub projects: Vec<ProjectName>,
}

impl Db {
    /// A repository that has a blob and that somebody may read, among the first `limit` that have it.
    pub async fn find_readable_link(
        &self,
        digest: &Digest,
        reader: &BlobReader,
        limit: u32,
    ) -> Result<Option<RepositoryName>> {
        let (sql, user) = (self.text(READABLE), reader.user.unwrap_or(NOBODY));
        let name: Option<String> = on_pool!(self, pool => sqlx::query_scalar(sql)
            .bind(digest.to_string())
            .bind(i64::from(limit))
            .bind(user)
            .bind(reader.is_all)
            .bind(serde_json::json!(reader.projects))
            .fetch_optional(pool)
            .await)?;
        repository(digest, name)
    }

    /// One of these repositories that has a blob.
    pub async fn find_link_of_any(
        &self,
        digest: &Digest,
        repositories: Vec<RepositoryName>,
    ) -> Result<Option<RepositoryName>> {
        let sql = self.text(OF_ANY);
        let names: Vec<_> = repositories.iter().map(RepositoryName::as_str).collect();
        let name: Option<String> = on_pool!(self, pool => sqlx::query_scalar(sql)
            .bind(digest.to_string())
            .bind(serde_json::json!(names))
            .fetch_optional(pool)
            .await)?;
        repository(digest, name)
    }
}

fn repository(digest: &Digest, name: Option<String>) -> Result<Option<RepositoryName>> {
    let parse = |name: String| {
        name.parse().map_err(|error: NameError| DbError::Corrupt {
            table: "repository_blob",
            column: "repository_name",
            row: format!("{name}@{digest}"),
            reason: error.to_string(),
        })
    };
    name.map(parse).transpose()
}
