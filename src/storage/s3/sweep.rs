//! Finding and removing what is temporary.

use chrono::{DateTime, Utc};

use super::{S3, classify};
use crate::domain::upload::{Transfer, UploadId};
use crate::storage::{
    Result, Sealed, StorageError, TempCursor, TempEntry, TempKind, TempOwner, TempPage, key,
};

/// Where incomplete multipart uploads can lie: an upload's own, and copies to a blob's place.
const MULTIPART_PREFIXES: [&str; 2] = [key::TEMP_PREFIX, key::BLOB_PREFIX];

impl S3 {
    pub async fn discard(&self, upload: UploadId) -> Result<()> {
        let prefix = format!("{}{}", self.settings.prefix, key::temp_prefix(upload));
        // Multipart uploads first: completing one would make an object after the objects were listed.
        // By the one key they can have: MinIO lists none for a prefix (minio issue 20989).
        let data = self.path(&key::temp_data(upload));
        let (multiparts, _) = self.list_multiparts(&data, None).await?;
        for (path, store_upload_id, _) in multiparts {
            self.abort_multipart_at(&path, &store_upload_id).await?;
        }
        let listed = self.client.list_objects_v2().bucket(self.bucket()).prefix(&prefix).send().await;
        for object in listed.map_err(classify("list objects"))?.contents() {
            if let Some(path) = object.key() {
                self.remove_path(path).await?;
            }
        }
        Ok(())
    }

    pub async fn discard_published(
        &self,
        upload: UploadId,
        transfer: &Transfer,
        sealed: &Sealed,
    ) -> Result<()> {
        if let Transfer::Proxied(stored) = transfer
            && let Some(tail) = stored.tail_id
        {
            self.remove(&key::temp_tail(upload, tail)).await?;
            if stored.store_upload_id.is_none() {
                return Ok(());
            }
        }
        let data = key::temp_data(upload);
        if sealed.key != data {
            self.remove(&sealed.key).await?;
        }
        self.remove(&data).await
    }

    pub async fn temp_entries(&self, cursor: Option<TempCursor>) -> Result<TempPage> {
        match cursor {
            None => self.temp_objects(None).await,
            Some(TempCursor::Objects(token)) => self.temp_objects(Some(token)).await,
            Some(TempCursor::Multiparts(index, markers)) => self.temp_multiparts(index, markers).await,
        }
    }

    pub async fn remove_temp(&self, entry: &TempEntry) -> Result<()> {
        let full = |key: &str| format!("{}{key}", self.settings.prefix);
        match &entry.kind {
            TempKind::Object { key } => self.remove_path(&full(key)).await,
            TempKind::Multipart { key, store_upload_id } => {
                self.abort_multipart_at(&full(key), store_upload_id).await
            }
        }
    }

    async fn temp_objects(&self, token: Option<String>) -> Result<TempPage> {
        let page = self
            .client
            .list_objects_v2()
            .bucket(self.bucket())
            .prefix(format!("{}{}", self.settings.prefix, key::TEMP_PREFIX))
            .set_continuation_token(token)
            .send()
            .await
            .map_err(classify("list objects"))?;
        let entries = page.contents().iter().filter_map(|object| {
            let key = object.key()?.strip_prefix(&self.settings.prefix)?.to_owned();
            Some(TempEntry {
                owner: key::temp_owner(&key).map_or(TempOwner::Nobody, TempOwner::Upload),
                kind: TempKind::Object { key },
                modified: time(object.last_modified()),
            })
        });
        let next = page.next_continuation_token().map(|token| TempCursor::Objects(token.to_owned()));
        Ok(TempPage { entries: entries.collect(), next: next.or(Some(TempCursor::Multiparts(0, None))) })
    }

    async fn temp_multiparts(&self, index: usize, markers: Option<(String, String)>) -> Result<TempPage> {
        let Some(kind) = MULTIPART_PREFIXES.get(index) else {
            return Ok(TempPage { entries: Vec::new(), next: None });
        };
        let (uploads, markers) =
            self.list_multiparts(&format!("{}{kind}", self.settings.prefix), markers).await?;
        let entries = uploads.into_iter().filter_map(|(path, store_upload_id, modified)| {
            let key = path.strip_prefix(&self.settings.prefix)?.to_owned();
            let owner = match key::blob_digest(&key) {
                Some(digest) => TempOwner::Placing(digest),
                None => key::temp_owner(&key).map_or(TempOwner::Nobody, TempOwner::Upload),
            };
            Some(TempEntry { owner, kind: TempKind::Multipart { key, store_upload_id }, modified })
        });
        let entries = entries.collect();
        let next = match markers {
            Some(markers) => Some(TempCursor::Multiparts(index, Some(markers))),
            None => (index + 1 < MULTIPART_PREFIXES.len()).then(|| TempCursor::Multiparts(index + 1, None)),
        };
        Ok(TempPage { entries, next })
    }

    /// One page of (path, upload id, begun), and the markers of the next.
    pub(in crate::storage) async fn list_multiparts(
        &self,
        prefix: &str,
        markers: Option<(String, String)>,
    ) -> Result<(Vec<(String, String, DateTime<Utc>)>, Option<(String, String)>)> {
        let (key_marker, upload_id_marker) = markers.unzip();
        let page = self
            .client
            .list_multipart_uploads()
            .bucket(self.bucket())
            .prefix(prefix)
            .set_key_marker(key_marker)
            .set_upload_id_marker(upload_id_marker.filter(|marker| !marker.is_empty()))
            .send()
            .await;
        let page = match page.map_err(classify("list multipart uploads")) {
            // Some stores have no such list before the first multipart upload.
            Err(StorageError::UploadNotFound | StorageError::NotFound) => return Ok((Vec::new(), None)),
            other => other?,
        };
        let uploads = page.uploads().iter().filter_map(|upload| {
            // Not every store filters by the prefix.
            let path = upload.key().filter(|path| path.starts_with(prefix))?;
            Some((path.to_owned(), upload.upload_id()?.to_owned(), time(upload.initiated())))
        });
        // Without a marker to go on from the list would begin again, for ever.
        let truncated = page.is_truncated().unwrap_or_default();
        let next = page
            .next_key_marker()
            .filter(|marker| truncated && !marker.is_empty())
            .map(|marker| (marker.to_owned(), page.next_upload_id_marker().unwrap_or_default().to_owned()));
        Ok((uploads.collect(), next))
    }
}

/// A time the store did not tell counts as now: age then never condemns the thing.
pub(super) fn time(told: Option<&aws_sdk_s3::primitives::DateTime>) -> DateTime<Utc> {
    told.and_then(|told| DateTime::from_timestamp(told.secs(), told.subsec_nanos()))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
