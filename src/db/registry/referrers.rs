//! Manifests about a manifest.

use sqlx::FromRow;

use crate::db::text::repository_id;
use crate::db::{Db, DbError, Result, corrupt, on_pool};
use crate::domain::digest::Digest;
use crate::domain::media_type::MediaType;
use crate::domain::name::RepositoryName;

/// One row more than `$5` is looked at, to tell whether there is one. Ends before the row with which the annotations of
/// the page would come to more than `$6` bytes, but never before the first one.
pub(in crate::db) const REFERRERS: &str = concat!(
    "SELECT digest, media_type, artifact_type, annotations, size, found FROM (
        SELECT digest, media_type, artifact_type, annotations, CAST(LENGTH(payload) AS BIGINT) AS size,
            COUNT(*) OVER () AS found, ROW_NUMBER() OVER (ORDER BY digest) AS number,
            SUM(COALESCE(OCTET_LENGTH(annotations), 0)) OVER (ORDER BY digest) AS annotated
        FROM (
            SELECT digest, media_type, artifact_type, annotations, payload FROM manifest
            WHERE repository_id = ",
    repository_id!(),
    " AND subject_digest = $2 AND digest > $3
                AND (artifact_type = $4 OR $4 IS NULL)
            ORDER BY digest LIMIT $5 + 1) AS page) AS measured
    WHERE number <= $5 AND (number = 1 OR annotated <= $6) ORDER BY digest"
);

/// A referrer, as a list of them tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Referrer {
    pub digest: Digest,
    pub media_type: MediaType,
    /// In bytes.
    pub size: u64,
    pub artifact_type: Option<MediaType>,
    /// An object of strings.
    pub annotations: Option<serde_json::Value>,
}

#[derive(Debug, FromRow)]
struct ReferrerRow {
    digest: Digest,
    media_type: MediaType,
    artifact_type: Option<MediaType>,
    annotations: Option<String>,
    size: i64,
    /// Rows that were looked at.
    found: i64,
}

impl TryFrom<ReferrerRow> for Referrer {
    type Error = DbError;

    fn try_from(row: ReferrerRow) -> Result<Self> {
        let annotations = row.annotations.map(|text| text.parse()).transpose();
        Ok(Self {
            media_type: row.media_type,
            size: row.size.unsigned_abs(),
            artifact_type: row.artifact_type,
            annotations: annotations
                .map_err(|error| corrupt("manifest", "annotations", &row.digest, &error))?,
            digest: row.digest,
        })
    }
}

impl Db {
    /// Referrers of a manifest after `last`, in the order of their digests' bytes, whatever the algorithm: at
    /// most `limit`, and no more than have annotations of `bytes` together, unless it is one alone; and whether there are
    /// more.
    pub async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        last: Option<&Digest>,
        (limit, bytes): (u32, u32),
    ) -> Result<(Vec<Referrer>, bool)> {
        let rows: Vec<ReferrerRow> = on_pool!(self, pool => sqlx::query_as(REFERRERS)
            .bind(repository.as_str())
            .bind(subject)
            .bind(last.map_or(&[][..], Digest::as_bytes))
            .bind(artifact_type)
            .bind(i64::from(limit))
            .bind(i64::from(bytes))
            .fetch_all(pool)
            .await)?;
        let has_more = rows.first().is_some_and(|row| row.found.unsigned_abs() > rows.len() as u64);
        let referrers: Result<_> = rows.into_iter().map(Referrer::try_from).collect();
        Ok((referrers?, has_more))
    }
}
