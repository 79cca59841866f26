//! Published blobs and the repositories they can be read from.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use super::{Db, DbError, Result, on_pool};
use crate::domain::blob::{Blob, SealedObject, Standing};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::UploadId;

pub(super) const FIND: &str = "
    SELECT digest, size, proof, created_at, placed_at, sealed_by, sealed_path, sealed_etag
    FROM blob WHERE digest = $1 AND removal_id IS NULL";

pub(super) const FIND_IN_REPOSITORY: &str = "
    SELECT blob.digest, blob.size, blob.proof, blob.created_at, blob.placed_at, blob.sealed_by, blob.sealed_path,
        blob.sealed_etag
    FROM repository_blob JOIN blob ON blob.digest = repository_blob.digest
    WHERE repository_blob.repository_name = $1 AND repository_blob.digest = $2";

/// A few of them: what every image has, millions of repositories have.
pub(super) const REPOSITORIES: &str =
    "SELECT repository_name FROM repository_blob WHERE digest = $1 LIMIT $2";

#[derive(Debug, FromRow)]
pub(super) struct BlobRow {
    digest: String,
    size: i64,
    proof: String,
    created_at: DateTime<Utc>,
    placed_at: Option<DateTime<Utc>>,
    sealed_by: Option<Uuid>,
    sealed_path: Option<String>,
    sealed_etag: Option<String>,
}

impl BlobRow {
    /// The temporary object that the row keeps.
    pub fn sealed(&self) -> Option<SealedObject> {
        Some(SealedObject {
            upload: UploadId::from_uuid(self.sealed_by?),
            path: self.sealed_path.clone()?,
            etag: self.sealed_etag.clone(),
        })
    }

    pub fn corrupt(&self, column: &'static str, reason: &dyn Display) -> DbError {
        DbError::Corrupt { table: "blob", column, row: self.digest.clone(), reason: reason.to_string() }
    }
}

impl TryFrom<BlobRow> for Blob {
    type Error = DbError;

    fn try_from(row: BlobRow) -> Result<Self> {
        let standing = match (row.placed_at, row.sealed()) {
            (Some(_), _) => Standing::Placed,
            (None, Some(sealed)) => Standing::Sealed(sealed),
            (None, None) => {
                return Err(row.corrupt("placed_at", &"is missing, and so is where the blob was proven"));
            }
        };
        Ok(Self {
            digest: row.digest.parse().map_err(|error| row.corrupt("digest", &error))?,
            size: u64::try_from(row.size).map_err(|error| row.corrupt("size", &error))?,
            proof: row.proof.parse().map_err(|error| row.corrupt("proof", &error))?,
            created_at: row.created_at,
            standing,
        })
    }
}

impl Db {
    /// A published blob, whoever may read it: for deduplication after proof, never for an answer to a client.
    pub async fn find_blob(&self, digest: &Digest) -> Result<Option<Blob>> {
        let row: Option<BlobRow> =
            on_pool!(self, pool => sqlx::query_as(FIND).bind(digest.to_string()).fetch_optional(pool).await)?;
        row.map(Blob::try_from).transpose()
    }

    /// A blob as a repository has it.
    pub async fn find_blob_in(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<Blob>> {
        let row: Option<BlobRow> = on_pool!(self, pool => sqlx::query_as(FIND_IN_REPOSITORY)
            .bind(repository.as_str())
            .bind(digest.to_string())
            .fetch_optional(pool)
            .await)?;
        row.map(Blob::try_from).transpose()
    }

    /// At most `limit` of the repositories that have a blob, in no order.
    pub async fn repositories_with(&self, digest: &Digest, limit: u32) -> Result<Vec<RepositoryName>> {
        let names: Vec<String> = on_pool!(self, pool => sqlx::query_scalar(REPOSITORIES)
            .bind(digest.to_string())
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        let corrupt = |name: &str, reason: &dyn Display| DbError::Corrupt {
            table: "repository_blob",
            column: "repository_name",
            row: format!("{name}@{digest}"),
            reason: reason.to_string(),
        };
        names.iter().map(|name| name.parse().map_err(|error| corrupt(name, &error))).collect()
    }
}
