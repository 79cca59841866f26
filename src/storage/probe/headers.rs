//! Whether what an uploader adds to its PUT stays behind when the object is copied to a blob's place. Everybody who
//! pulls the blob would get it: a `Content-Encoding` makes every digest fail, a tag may be what a lifecycle rule removes.

use bytes::Bytes;

use super::urls::{Added, Holder, sized};
use super::{Answer, CONTENT, Probe, UrlGuards};
use crate::storage::Result;
use crate::storage::key::Key;
use crate::storage::s3::classify;

/// What every HTTP client may say of its body. No store that we know wants these signed.
const OF_HTTP: [(&str, &str); 4] = [
    ("content-encoding", "gzip"),
    ("cache-control", "no-store"),
    ("content-disposition", "attachment"),
    ("content-language", "de"),
];
/// What only S3 knows. Stores that want these signed refuse all of them.
const OF_S3: [(&str, &str); 3] =
    [("x-amz-meta-probe", "1"), ("x-amz-tagging", "probe=1"), ("x-amz-website-redirect-location", "/probe")];

impl Probe<'_> {
    pub(super) async fn headers_stay_behind(&self, holder: &Holder) -> Result<Answer> {
        let (of_http, of_s3) = tokio::join!(
            Box::pin(self.stay_behind(holder, [self.key("said"), self.key("said-copy")], &OF_HTTP)),
            Box::pin(self.stay_behind(holder, [self.key("told-s3"), self.key("told-s3-copy")], &OF_S3)),
        );
        Ok(of_http?.and(of_s3?))
    }

    async fn stay_behind(
        &self,
        holder: &Holder,
        keys: [Key; 2],
        headers: &[(&'static str, &str)],
    ) -> Result<Answer> {
        let [key, copy] = keys;
        let request = self.signed_put(holder, &key, sized(CONTENT), UrlGuards::default()).await?;
        let added: Vec<Added> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        if !holder.put(&request, &added, Bytes::from_static(CONTENT)).await? {
            return Ok(Answer::Yes);
        }
        let found = self.store.head(key).await?;
        self.store.copy(&found.into(), &copy, None).await?;
        let (client, bucket, path) =
            (self.store.client(), &self.store.settings().bucket, self.store.path(&copy));
        let looked = client.head_object().bucket(bucket).key(&path).send().await;
        let redirects = looked.map_err(classify("look at an object"))?.website_redirect_location.is_some();
        let is_plain = self.store.head(copy).await?.is_plain && !redirects;
        // A store without tags says so, and has none that could come along.
        let tags = client.get_object_tagging().bucket(bucket).key(&path).send().await;
        let is_tagged = tags.is_ok_and(|tags| !tags.tag_set.is_empty());
        Ok(Answer::yes_if(is_plain, "headers that an uploader added survive a copy that replaces them")
            .and(Answer::yes_if(!is_tagged, "tags that an uploader added survive a copy that replaces them")))
    }
}
