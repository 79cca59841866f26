//! Removing what is published, and listing it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;

use super::sweep::time;
use super::{S3, classify};
use crate::domain::digest::Digest;
use crate::storage::{BlobCursor, BlobEntry, BlobPage, Result, StorageError, key};

const REMOVE: &str = "delete a blob";

impl S3 {
    /// By a request that was presigned to end at `until`: one that lies in a queue, or in a process that was
    /// stopped, is refused by the store itself once another upload may have put the blob there again.
    pub async fn remove_blob(&self, digest: &Digest, until: DateTime<Utc>) -> Result<()> {
        let left = (until - self.clock.now()).num_seconds();
        let lifetime = Duration::from_secs(u64::try_from(left).unwrap_or_default());
        let late = || StorageError::Busy("there is no time left to delete the blob");
        if lifetime.is_zero() {
            return Err(late());
        }
        let request = self.own_signer.delete(&self.path(&key::blob(digest)), lifetime).await?;
        // Signed later than the look at the clock, perhaps much later.
        if request.expires_at > until {
            return Err(late());
        }
        // The URL is a secret and stays out of every message.
        let sent = self.http()?.delete(&request.url).timeout(lifetime).send().await;
        let answer = sent.map_err(reqwest::Error::without_url).map_err(StorageError::unavailable(REMOVE))?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(StorageError::unavailable(REMOVE)(format!("it answered {status}"))),
        }
    }

    pub async fn blob_entries(&self, cursor: Option<BlobCursor>) -> Result<BlobPage> {
        let listing = self
            .client
            .list_objects_v2()
            .bucket(self.bucket())
            .prefix(format!("{}{}", self.settings.prefix, key::BLOB_PREFIX))
            .set_continuation_token(cursor.map(|cursor| cursor.0));
        let page = listing.send().await.map_err(classify("list objects"))?;
        let entries = page.contents().iter().filter_map(|object| {
            Some(BlobEntry {
                // What we did not put there is not ours to remove.
                digest: key::blob_digest(object.key()?.strip_prefix(&self.settings.prefix)?)?,
                size: u64::try_from(object.size().unwrap_or_default()).unwrap_or_default(),
                modified: time(object.last_modified()),
            })
        });
        let entries = entries.collect();
        Ok(BlobPage {
            entries,
            next: page.next_continuation_token().map(|token| BlobCursor(token.to_owned())),
        })
    }
}
