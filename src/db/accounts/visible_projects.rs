//! Projects as somebody sees them, a page at a time.

use sqlx::FromRow;

use crate::db::accounts::authorization::NOBODY;
use crate::db::accounts::projects::{ProjectRow, project_columns};
use crate::db::text::{Text, both, is_one_of};
use crate::db::{Db, Result, corrupt, on_pool};
use crate::domain::access::{ProjectName, Role};
use crate::domain::project::Project;

/// `$1` to `$7`: who looks, whether they see all, what else they see by name, part of the name, whether private and
/// public ones are asked for, and whether public ones count without more.
macro_rules! visible {
    ($db:ident) => {
        concat!(
            "FROM project LEFT JOIN project_member
                ON project_member.project_id = project.id AND project_member.user_id = $1
            WHERE ($2 OR project_member.role IS NOT NULL OR ($7 AND project.is_public) OR project.name ",
            is_one_of!($db, texts "$3"),
            ") AND project.name LIKE $4 ESCAPE '!' AND (($5 AND NOT project.is_public) OR ($6 AND project.is_public))"
        )
    };
}

macro_rules! list {
    ($db:ident) => {
        concat!(
            "SELECT ",
            project_columns!(),
            ", project_member.role ",
            visible!($db),
            " ORDER BY project.name LIMIT $8 OFFSET $9"
        )
    };
}
const LIST: Text = both!(list);

macro_rules! count {
    ($db:ident) => {
        concat!("SELECT COUNT(*) ", visible!($db))
    };
}
const COUNT: Text = both!(count);

/// Who looks at projects, and which of them are meant.
#[derive(Debug, Clone, Default)]
pub struct ProjectFilter {
    /// Sees all of them.
    pub is_all: bool,
    /// Sees those that this user is a member of.
    pub user: Option<i64>,
    /// Sees these as well.
    pub names: Vec<ProjectName>,
    /// Whether public ones that are none of the above are seen.
    pub with_public: bool,
    /// A part of their names; empty for any.
    pub name_part: String,
    /// Public ones alone, or private ones.
    pub is_public: Option<bool>,
}

#[derive(Debug, FromRow)]
struct VisibleRow {
    #[sqlx(flatten)]
    project: ProjectRow,
    role: Option<String>,
}

impl Db {
    /// Projects in the order of their names with what the user is in each, and how many there are in all.
    pub async fn visible_projects(
        &self,
        filter: &ProjectFilter,
        limit: u32,
        offset: u64,
    ) -> Result<(Vec<(Project, Option<Role>)>, u64)> {
        let user = filter.user.unwrap_or(NOBODY);
        let names = serde_json::json!(filter.names);
        let pattern = pattern(&filter.name_part);
        let (private, public) = (filter.is_public != Some(true), filter.is_public != Some(false));
        let (list, count) = (self.text(LIST), self.text(COUNT));
        let rows: Vec<VisibleRow> = on_pool!(self, pool => sqlx::query_as(list)
            .bind(user)
            .bind(filter.is_all)
            .bind(&names)
            .bind(&pattern)
            .bind(private)
            .bind(public)
            .bind(filter.with_public)
            .bind(i64::from(limit))
            .bind(offset.cast_signed())
            .fetch_all(pool)
            .await)?;
        let count: i64 = on_pool!(self, pool => sqlx::query_scalar(count)
            .bind(user)
            .bind(filter.is_all)
            .bind(&names)
            .bind(&pattern)
            .bind(private)
            .bind(public)
            .bind(filter.with_public)
            .fetch_one(pool)
            .await)?;
        let visible = |VisibleRow { project, role }| {
            let project = Project::try_from(project)?;
            let role = role.as_deref().map(str::parse).transpose();
            let role = role.map_err(|error| corrupt("project_member", "role", &project.id, &error))?;
            Ok((project, role))
        };
        Ok((rows.into_iter().map(visible).collect::<Result<_>>()?, count.unsigned_abs()))
    }
}

/// SQLite's LIKE does not tell cases apart, and no project's name has an upper one.
fn pattern(part: &str) -> String {
    let mut pattern = "%".to_owned();
    for c in part.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
