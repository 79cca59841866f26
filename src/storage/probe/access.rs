//! Whether reading and listing give what was asked for.

use super::{Answer, CONTENT, Capability, Probe};
use crate::storage::s3::classify;
use crate::storage::{Result, key};

impl Probe<'_> {
    pub(super) async fn access(&self) -> [(Capability, Answer); 2] {
        let (ranges, listed) = tokio::join!(self.ranged_read(), self.uploads_by_prefix());
        [(Capability::RangedReads, ranges.into()), (Capability::UploadsByPrefix, listed.into())]
    }

    async fn ranged_read(&self) -> Result<Answer> {
        let (client, key) = (self.store.client(), self.store.path(&self.key("usable")));
        let got = client.get_object().bucket(&self.store.settings().bucket).key(key).range("bytes=3-7");
        let body = got.send().await.map_err(classify("read a range"))?.body;
        let Ok(bytes) = body.collect().await else {
            return Ok(Answer::Open("the range broke off".to_owned()));
        };
        Ok(Answer::yes_if(bytes.into_bytes() == CONTENT[3..8], "it gives other bytes than the range"))
    }

    /// The cleaner looks for what is left over by whole keys and in the list of everything: `MinIO` lists none for a
    /// prefix (minio issue 20989).
    async fn uploads_by_prefix(&self) -> Result<Answer> {
        let key = self.key("listed");
        let store_upload_id = self.store.create_multipart_at(&key).await?;
        let prefix = format!("{}{}", self.store.settings().prefix, key::temp_prefix(self.run));
        let mut listed = self.store.list_multiparts(&prefix, None).await;
        if listed.as_ref().is_ok_and(|page| page.uploads.is_empty()) {
            listed = self.store.list_multiparts("", None).await;
        }
        self.store.abort_multipart_at(&self.store.path(&key), &store_upload_id).await?;
        let found = listed?.uploads.iter().any(|(_, id, _)| *id == store_upload_id);
        Ok(Answer::yes_if(found, "one that had begun was not listed"))
    }
}
