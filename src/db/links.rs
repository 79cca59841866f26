//! Which repositories have a blob, and the tombstone that comes with the last link's end.
//!
//! Whoever links a blob writes its row, and whoever takes a link away locks it: so `unlinked_at` is set exactly
//! while no repository has the blob. Rows are locked in one statement and looked at in the next, whose snapshot
//! has what those that were waited for have committed; blobs before links, each in order, so that nobody waits
//! in a circle.

use chrono::{DateTime, Utc};

use super::commit::LINK;
use super::plans::Text;
use super::{Db, DbError, Result, in_transaction, on_pool};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;

/// Fails on one that is being removed: see `blob_is_not_removed` in the migrations.
const REVIVE: &str = "UPDATE blob SET unlinked_at = NULL WHERE digest = $1";

const LOCK_BLOBS: Text = Text {
    postgres: "SELECT digest FROM blob WHERE digest IN (SELECT jsonb_array_elements_text($1))
        ORDER BY digest FOR UPDATE",
    sqlite: "SELECT digest FROM blob WHERE digest IN (SELECT value FROM json_each($1))",
};

pub(super) const TOMBSTONE: Text = Text {
    postgres: "UPDATE blob SET unlinked_at = $2
        WHERE digest IN (SELECT jsonb_array_elements_text($1)) AND unlinked_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM repository_blob WHERE repository_blob.digest = blob.digest)",
    sqlite: "UPDATE blob SET unlinked_at = $2
        WHERE digest IN (SELECT value FROM json_each($1)) AND unlinked_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM repository_blob WHERE repository_blob.digest = blob.digest)",
};

const LOCK_LINK: Text = Text {
    postgres: "SELECT digest FROM repository_blob WHERE repository_name = $1 AND digest = $2 FOR UPDATE",
    sqlite: "SELECT digest FROM repository_blob WHERE repository_name = $1 AND digest = $2",
};

macro_rules! is_unneeded {
    () => {
        "NOT EXISTS (SELECT 1 FROM manifest_blob
            WHERE manifest_blob.repository_name = repository_blob.repository_name
                AND manifest_blob.digest = repository_blob.digest)"
    };
}

const UNLINK: &str =
    concat!("DELETE FROM repository_blob WHERE repository_name = $1 AND digest = $2 AND ", is_unneeded!());

pub(super) const DUE: &str = "
    SELECT digest FROM repository_blob WHERE unreferenced_at <= $1 ORDER BY unreferenced_at LIMIT $2";

const COUNT_DUE: &str =
    concat!("SELECT COUNT(*) FROM repository_blob WHERE unreferenced_at <= $1 AND ", is_unneeded!());

const LOCK_DUE: Text = Text {
    postgres: "SELECT digest FROM repository_blob
        WHERE digest IN (SELECT jsonb_array_elements_text($1)) AND unreferenced_at <= $2
        ORDER BY repository_name, digest FOR UPDATE",
    sqlite: "SELECT digest FROM repository_blob
        WHERE digest IN (SELECT value FROM json_each($1)) AND unreferenced_at <= $2",
};

macro_rules! unlink_due {
    ($digests:literal) => {
        concat!(
            "DELETE FROM repository_blob WHERE digest IN (",
            $digests,
            ") AND unreferenced_at <= $2 AND ",
            is_unneeded!()
        )
    };
}

const UNLINK_DUE: Text = Text {
    postgres: unlink_due!("SELECT jsonb_array_elements_text($1)"),
    sqlite: unlink_due!("SELECT value FROM json_each($1)"),
};

/// Those that a manifest came to need after they were marked.
const KEEP_DUE: Text = Text {
    postgres: "UPDATE repository_blob SET unreferenced_at = NULL
        WHERE digest IN (SELECT jsonb_array_elements_text($1)) AND unreferenced_at <= $2",
    sqlite: "UPDATE repository_blob SET unreferenced_at = NULL
        WHERE digest IN (SELECT value FROM json_each($1)) AND unreferenced_at <= $2",
};

/// What became of a wish to take a blob out of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlinked {
    Done,
    /// The repository does not have it.
    Absent,
    /// A manifest of the repository refers to it.
    Needed,
}

impl Db {
    /// Makes a published blob readable from a repository; false when it is being removed, or is gone.
    pub async fn link_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let (repository, digest) = (repository.to_string(), digest.to_string());
        let linked: Result<bool> = in_transaction!(self, transaction => {
            let revived = sqlx::query(REVIVE).bind(&digest).execute(&mut *transaction).await?;
            let is_there = revived.rows_affected() == 1;
            if is_there {
                sqlx::query(LINK).bind(&repository).bind(&digest).bind(now).execute(&mut *transaction).await?;
            }
            is_there
        });
        match linked {
            Err(error) if error.is_removed_blob() => Ok(false),
            linked => linked,
        }
    }

    /// Takes a blob out of a repository.
    pub async fn unlink_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        now: DateTime<Utc>,
    ) -> Result<Unlinked> {
        let (repository, digest) = (repository.to_string(), digest.to_string());
        let digests = serde_json::json!([digest]);
        let (lock_blobs, lock_link, tombstone) =
            (self.text(LOCK_BLOBS), self.text(LOCK_LINK), self.text(TOMBSTONE));
        in_transaction!(self, transaction => {
            sqlx::query(lock_blobs).bind(&digests).execute(&mut *transaction).await?;
            let link = sqlx::query(lock_link).bind(&repository).bind(&digest);
            if link.fetch_optional(&mut *transaction).await?.is_none() {
                Unlinked::Absent
            } else {
                let unlinked = sqlx::query(UNLINK).bind(&repository).bind(&digest);
                if unlinked.execute(&mut *transaction).await?.rows_affected() == 0 {
                    Unlinked::Needed
                } else {
                    sqlx::query(tombstone).bind(&digests).bind(now).execute(&mut *transaction).await?;
                    Unlinked::Done
                }
            }
        })
    }

    /// Takes blobs out of repositories whose manifests have not needed them since `before`; says how many links
    /// were looked at and how many went.
    pub async fn unlink_unneeded(
        &self,
        before: DateTime<Utc>,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<(u64, u64)> {
        let (lock_blobs, lock_due, unlink, keep, tombstone) = (
            self.text(LOCK_BLOBS),
            self.text(LOCK_DUE),
            self.text(UNLINK_DUE),
            self.text(KEEP_DUE),
            self.text(TOMBSTONE),
        );
        in_transaction!(self, transaction => {
            let due = sqlx::query_scalar(DUE).bind(before).bind(i64::from(limit));
            let due: Vec<String> = due.fetch_all(&mut *transaction).await?;
            let (found, digests) = (due.len() as u64, serde_json::json!(due));
            sqlx::query(lock_blobs).bind(&digests).execute(&mut *transaction).await?;
            sqlx::query(lock_due).bind(&digests).bind(before).execute(&mut *transaction).await?;
            let unlinked = sqlx::query(unlink).bind(&digests).bind(before).execute(&mut *transaction).await?;
            sqlx::query(keep).bind(&digests).bind(before).execute(&mut *transaction).await?;
            sqlx::query(tombstone).bind(&digests).bind(now).execute(&mut *transaction).await?;
            (found, unlinked.rows_affected())
        })
    }

    /// How many links [`Self::unlink_unneeded`] would take away.
    pub async fn count_unneeded(&self, before: DateTime<Utc>) -> Result<u64> {
        let count: i64 =
            on_pool!(self, pool => sqlx::query_scalar(COUNT_DUE).bind(before).fetch_one(pool).await)?;
        Ok(count.unsigned_abs())
    }
}

impl DbError {
    /// Whether a statement would have linked a blob that is being removed.
    pub(super) fn is_removed_blob(&self) -> bool {
        // SQLite names the constraint in its message alone.
        matches!(self, Self::Unavailable(sqlx::Error::Database(error))
            if error.is_check_violation() && error.message().contains("blob_is_not_removed"))
    }
}
