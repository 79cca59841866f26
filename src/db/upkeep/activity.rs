//! What replicas tell each other while a limit is set: requests under way, and requests let in.

use uuid::Uuid;

use crate::db::rows::signed;
use crate::db::text::Text;
use crate::db::{Db, Result, on_pool};

/// The database's own time in milliseconds: no replica's clock decides which of the others are alive.
macro_rules! with_now {
    ($before:literal, $after:literal) => {
        Text {
            postgres: concat!(
                $before,
                "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
                $after
            ),
            sqlite: concat!($before, "CAST(unixepoch('now', 'subsec') * 1000 AS BIGINT)", $after),
        }
    };
}

const PUBLISH: Text = with_now!(
    "INSERT INTO replica_activity (replica, uploads, downloads, seen_at_ms) VALUES ($1, $2, $3, ",
    ") ON CONFLICT (replica) DO UPDATE SET uploads = excluded.uploads, downloads = excluded.downloads,
        seen_at_ms = excluded.seen_at_ms"
);

/// A replica tells at least every half a second: one that has not for three seconds is gone.
const OTHERS: Text = with_now!(
    "SELECT CAST(COALESCE(SUM(uploads), 0) AS BIGINT), CAST(COALESCE(SUM(downloads), 0) AS BIGINT)
        FROM replica_activity WHERE replica <> $1 AND seen_at_ms > ",
    " - 3000"
);

const REQUESTS_OF_OTHERS: Text = with_now!(
    "SELECT subject, replica, admitted FROM request_activity WHERE replica <> $1 AND seen_at_ms > ",
    " - 3000"
);

/// Subjects in one order, so that nobody waits for anybody crosswise.
const PUBLISH_REQUESTS: Text = Text {
    postgres: "INSERT INTO request_activity (replica, subject, admitted, seen_at_ms)
        SELECT $1, subject, admitted, CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)
        FROM UNNEST($2::TEXT[], $3::BIGINT[]) AS request (subject, admitted)
        ON CONFLICT (replica, subject) DO UPDATE SET admitted = excluded.admitted, seen_at_ms = excluded.seen_at_ms",
    sqlite: "INSERT INTO request_activity (replica, subject, admitted, seen_at_ms)
        SELECT $1, value ->> 0, value ->> 1, CAST(unixepoch('now', 'subsec') * 1000 AS BIGINT)
        FROM json_each($2) WHERE true
        ON CONFLICT (replica, subject) DO UPDATE SET admitted = excluded.admitted, seen_at_ms = excluded.seen_at_ms",
};

/// Long after they count no more.
const SWEEP: Text = with_now!("DELETE FROM replica_activity WHERE seen_at_ms <= ", " - 60000");
const SWEEP_REQUESTS: Text = with_now!("DELETE FROM request_activity WHERE seen_at_ms <= ", " - 60000");

const WITHDRAW: &str = "DELETE FROM replica_activity WHERE replica = $1";

impl Db {
    /// Tells the others how many uploads and downloads this replica has under way.
    pub async fn publish_activity(&self, replica: Uuid, uploads: u64, downloads: u64) -> Result<()> {
        let (sql, uploads, downloads) = (self.text(PUBLISH), signed(uploads), signed(downloads));
        on_pool!(self, pool => sqlx::query(sql)
            .bind(replica)
            .bind(uploads)
            .bind(downloads)
            .execute(pool)
            .await
            .map(drop))?;
        Ok(())
    }

    /// The uploads and the downloads that all other replicas have under way.
    pub async fn activity_of_others(&self, replica: Uuid) -> Result<(u64, u64)> {
        let sql = self.text(OTHERS);
        let (uploads, downloads): (i64, i64) =
            on_pool!(self, pool => sqlx::query_as(sql).bind(replica).fetch_one(pool).await)?;
        Ok((uploads.unsigned_abs(), downloads.unsigned_abs()))
    }

    /// Tells the others how many requests this replica has let in, for each of these subjects.
    pub async fn publish_requests(&self, replica: Uuid, admitted: &[(String, u64)]) -> Result<()> {
        let sql = self.text(PUBLISH_REQUESTS);
        match self {
            Self::Postgres(pool) => {
                let subjects: Vec<_> = admitted.iter().map(|(subject, _)| subject.as_str()).collect();
                let counts: Vec<_> = admitted.iter().map(|(_, count)| signed(*count)).collect();
                sqlx::query(sql).bind(replica).bind(subjects).bind(counts).execute(pool).await?;
            }
            Self::Sqlite(pool) => {
                sqlx::query(sql).bind(replica).bind(serde_json::json!(admitted)).execute(pool).await?;
            }
        }
        Ok(())
    }

    /// What every other replica has let in lately, for each subject: since when is each replica's own.
    pub async fn requests_of_others(&self, replica: Uuid) -> Result<Vec<(String, Uuid, u64)>> {
        let sql = self.text(REQUESTS_OF_OTHERS);
        let rows: Vec<(String, Uuid, i64)> =
            on_pool!(self, pool => sqlx::query_as(sql).bind(replica).fetch_all(pool).await)?;
        Ok(rows
            .into_iter()
            .map(|(subject, replica, count)| (subject, replica, count.unsigned_abs()))
            .collect())
    }

    /// This replica has nothing under way any more.
    pub async fn withdraw_activity(&self, replica: Uuid) -> Result<()> {
        on_pool!(self, pool => sqlx::query(WITHDRAW).bind(replica).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Deletes what replicas that are gone have told, and what was said of subjects that are silent.
    pub async fn sweep_activity(&self) -> Result<()> {
        for sql in [self.text(SWEEP), self.text(SWEEP_REQUESTS)] {
            on_pool!(self, pool => sqlx::query(sql).execute(pool).await.map(drop))?;
        }
        Ok(())
    }
}
