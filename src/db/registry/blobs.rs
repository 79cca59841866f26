//! Published blobs. `links.rs` has the repositories they can be read from.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::{Db, DbError, Result, corrupt, on_pool};
use crate::domain::blob::{Blob, Placement, SealedObject};
use crate::domain::digest::Digest;
use crate::domain::upload::UploadId;

/// The columns of [`BlobRow`]. A row under removal may have no proof.
macro_rules! blob_columns {
    () => {
        "blob.digest, blob.size, COALESCE(blob.proof, '') AS proof, blob.created_at, blob.placed_at, blob.sealed_by,
            blob.sealed_path, blob.sealed_etag, blob.exposed > 0 AS is_exposed, blob.lost_at"
    };
}
pub(in crate::db) use blob_columns;

pub(in crate::db) const FIND: &str =
    concat!("SELECT ", blob_columns!(), " FROM blob WHERE digest = $1 AND removal_id IS NULL");

const PLACED_AT: &str =
    "SELECT placed_at FROM blob WHERE digest = $1 AND lost_at IS NULL AND removal_id IS NULL";

/// The object is gone, and its row says so, if it is still the object that was looked for.
pub(in crate::db) const LOSE: &str = "
    UPDATE blob SET lost_at = $3
    WHERE digest = $1 AND placed_at = $2 AND lost_at IS NULL AND removal_id IS NULL";

/// What was proven under a key that a URL writes to has been replaced since: nothing of it was published.
pub(in crate::db) const RETRACT: &str = "
    UPDATE blob SET placed_at = $3, lost_at = $3, exposed = 0, placing_until = NULL,
        sealed_by = NULL, sealed_path = NULL, sealed_etag = NULL, sealed_until = NULL
    WHERE digest = $1 AND sealed_by = $2 AND placed_at IS NULL";

#[derive(Debug, FromRow)]
pub(in crate::db) struct BlobRow {
    digest: Digest,
    size: i64,
    proof: String,
    created_at: DateTime<Utc>,
    placed_at: Option<DateTime<Utc>>,
    sealed_by: Option<Uuid>,
    sealed_path: Option<String>,
    sealed_etag: Option<String>,
    is_exposed: bool,
    lost_at: Option<DateTime<Utc>>,
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
        corrupt("blob", column, &self.digest, reason)
    }
}

impl TryFrom<BlobRow> for Blob {
    type Error = DbError;

    fn try_from(row: BlobRow) -> Result<Self> {
        let placement = match (row.placed_at, row.sealed()) {
            (Some(_), _) if row.lost_at.is_some() => Placement::Lost,
            (Some(_), _) => Placement::Placed,
            (None, Some(sealed)) if row.is_exposed => Placement::Exposed(sealed),
            (None, Some(sealed)) => Placement::Sealed(sealed),
            (None, None) => {
                return Err(row.corrupt("placed_at", &"is missing, and so is where the blob was proven"));
            }
        };
        Ok(Self {
            digest: row.digest,
            size: u64::try_from(row.size).map_err(|error| row.corrupt("size", &error))?,
            proof: row.proof.parse().map_err(|error| row.corrupt("proof", &error))?,
            created_at: row.created_at,
            placement,
        })
    }
}

impl Db {
    /// A published blob, whoever may read it: for deduplication after proof, never for an answer to a client.
    pub async fn find_blob(&self, digest: &Digest) -> Result<Option<Blob>> {
        let row: Option<BlobRow> =
            on_pool!(self, pool => sqlx::query_as(FIND).bind(digest).fetch_optional(pool).await)?;
        row.map(Blob::try_from).transpose()
    }

    /// When a blob's object came to its place; none while it has not, is lost or is being removed.
    pub async fn placed_at(&self, digest: &Digest) -> Result<Option<DateTime<Utc>>> {
        let placed_at: Option<Option<DateTime<Utc>>> = on_pool!(self, pool =>
            sqlx::query_scalar(PLACED_AT).bind(digest).fetch_optional(pool).await)?;
        Ok(placed_at.flatten())
    }

    /// Notes that a placed blob's object is gone from the store, so that whoever has its bytes is asked for them.
    /// `placed_at` is when the object that was looked for came there: one placed since stays.
    pub async fn mark_lost(
        &self,
        digest: &Digest,
        placed_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let lost = on_pool!(self, pool => sqlx::query(LOSE)
            .bind(digest)
            .bind(placed_at)
            .bind(now)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(lost > 0)
    }

    /// Takes back a blob whose bytes were replaced under the key where this upload's had been proven.
    pub async fn retract_blob(&self, digest: &Digest, upload: UploadId, now: DateTime<Utc>) -> Result<()> {
        on_pool!(self, pool => sqlx::query(RETRACT)
            .bind(digest)
            .bind(upload.as_uuid())
            .bind(now)
            .execute(pool)
            .await
            .map(drop))?;
        Ok(())
    }
}
