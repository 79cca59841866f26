//! Finding and removing what is temporary.

use chrono::{DateTime, Utc};

use super::{S3, classify};
use crate::domain::upload::{Transfer, UploadId};
use crate::storage::{
    Result, Sealed, StorageError, TempCursor, TempEntry, TempKind, TempListing, TempOwner, TempPage, key,
};

impl S3 {
    /// Each kind by itself: a store that refuses one listing has the other one emptied all the same.
    pub(in crate::storage) async fn discard(&self, upload: UploadId) -> Result<()> {
        // Multipart uploads first: completing one would make an object after the objects were listed.
        let aborted = self.abort_multiparts(upload).await;
        self.remove_objects(upload).await?;
        aborted
    }

    async fn abort_multiparts(&self, upload: UploadId) -> Result<()> {
        // By the one key they can have: MinIO lists none for a prefix (minio issue 20989).
        let data = self.path(&key::temp_data(upload));
        let page = self.list_multiparts(&data, None).await?;
        for (path, store_upload_id, _) in page.uploads {
            self.abort_multipart_at(&path, &store_upload_id).await?;
        }
        Ok(())
    }

    async fn remove_objects(&self, upload: UploadId) -> Result<()> {
        let prefix = format!("{}{}", self.settings.prefix, key::temp_prefix(upload));
        let listed = self.client.list_objects_v2().bucket(self.bucket()).prefix(&prefix).send().await;
        for object in listed.map_err(classify("list objects"))?.contents() {
            if let Some(path) = object.key() {
                self.remove_path(path).await?;
            }
        }
        Ok(())
    }

    pub(in crate::storage) async fn discard_published(
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

    pub(in crate::storage) async fn temp_entries(
        &self,
        listing: TempListing,
        cursor: Option<TempCursor>,
    ) -> Result<TempPage> {
        match (listing, cursor) {
            (TempListing::Objects, Some(TempCursor::Objects(token))) => self.temp_objects(Some(token)).await,
            (TempListing::Objects, _) => self.temp_objects(None).await,
            (TempListing::Multiparts, Some(TempCursor::Multiparts(key, id))) => {
                self.temp_multiparts(Some((key, id))).await
            }
            (TempListing::Multiparts, _) => self.temp_multiparts(None).await,
        }
    }

    pub(in crate::storage) async fn remove_temp(&self, entry: &TempEntry) -> Result<()> {
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
        Ok(TempPage { entries: entries.collect(), next })
    }

    /// Of the whole bucket, and those below our prefix are picked here: `MinIO` lists none for a prefix that is no
    /// key (minio issue 20989).
    async fn temp_multiparts(&self, markers: Option<(String, String)>) -> Result<TempPage> {
        let MultipartPage { uploads, next } = self.list_multiparts("", markers).await?;
        let entries = uploads.into_iter().filter_map(|(path, store_upload_id, modified)| {
            let key = path.strip_prefix(&self.settings.prefix)?.to_owned();
            let owner = match key::blob_digest(&key) {
                Some(digest) => TempOwner::Placing(digest),
                None if key.starts_with(key::TEMP_PREFIX) => {
                    key::temp_owner(&key).map_or(TempOwner::Nobody, TempOwner::Upload)
                }
                // Where we do not write: another program's.
                None => return None,
            };
            Some(TempEntry { owner, kind: TempKind::Multipart { key, store_upload_id }, modified })
        });
        let next = next.map(|(key, id)| TempCursor::Multiparts(key, id));
        Ok(TempPage { entries: entries.collect(), next })
    }

    /// One page.
    pub(in crate::storage) async fn list_multiparts(
        &self,
        prefix: &str,
        markers: Option<(String, String)>,
    ) -> Result<MultipartPage> {
        let (key_marker, upload_id_marker) = markers.clone().unzip();
        let page = self
            .client
            .list_multipart_uploads()
            .bucket(self.bucket())
            .set_prefix((!prefix.is_empty()).then(|| prefix.to_owned()))
            .set_key_marker(key_marker)
            .set_upload_id_marker(upload_id_marker.filter(|marker| !marker.is_empty()))
            .send()
            .await;
        let page = match page.map_err(classify("list multipart uploads")) {
            // Some stores have no such list before the first multipart upload.
            Err(StorageError::UploadNotFound | StorageError::NotFound) => return Ok(MultipartPage::default()),
            other => other?,
        };
        let uploads = page.uploads().iter().filter_map(|upload| {
            // Not every store filters by the prefix.
            let path = upload.key().filter(|path| path.starts_with(prefix))?;
            Some((path.to_owned(), upload.upload_id()?.to_owned(), time(upload.initiated())))
        });
        let told = page.next_key_marker().filter(|marker| !marker.is_empty());
        let told = told.map(|key| (key, page.next_upload_id_marker().unwrap_or_default()));
        let last = page.uploads().last().and_then(|last| Some((last.key()?, last.upload_id()?)));
        Ok(MultipartPage {
            uploads: uploads.collect(),
            next: next(page.is_truncated().unwrap_or_default(), told, last, markers.as_ref()),
        })
    }
}

/// Incomplete multipart uploads: path, the store's id, when it was begun; and the markers of the next page.
#[derive(Debug, Default)]
pub(in crate::storage) struct MultipartPage {
    pub uploads: Vec<(String, String, DateTime<Utc>)>,
    next: Option<(String, String)>,
}

/// Where a listing goes on: where the store says, or after the last upload seen. SeaweedFS cuts a list of more than
/// 10,000 off without a marker.
fn next(
    is_truncated: bool,
    told: Option<(&str, &str)>,
    last: Option<(&str, &str)>,
    before: Option<&(String, String)>,
) -> Option<(String, String)> {
    let (key, id) = told.or(last).filter(|_| is_truncated)?;
    let next = (key.to_owned(), id.to_owned());
    // A store that does not heed markers would send the same page for ever.
    (before != Some(&next)).then_some(next)
}

/// A time the store did not tell counts as now: age then never condemns the thing.
pub(super) fn time(told: Option<&aws_sdk_s3::primitives::DateTime>) -> DateTime<Utc> {
    told.and_then(|told| DateTime::from_timestamp(told.secs(), told.subsec_nanos()))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_that_is_cut_off_without_a_marker_goes_on_after_the_last_upload_seen() {
        let owned = |(key, id): (&str, &str)| (key.to_owned(), id.to_owned());
        let (told, last) = (("b", "2"), ("c", "3"));
        assert_eq!(next(false, Some(told), Some(last), None), None);
        assert_eq!(next(true, Some(told), Some(last), None), Some(owned(told)));
        assert_eq!(next(true, None, Some(last), None), Some(owned(last)));
        assert_eq!(next(true, None, None, None), None);
        assert_eq!(next(true, None, Some(last), Some(&owned(last))), None, "the same page again");
    }
}
