//! What an uploader adds to its PUT, header by header: a store that refuses one would hide what it does with another.
//!
//! It must stay behind when the object is copied to a blob's place, where everybody who pulls the blob would get it: a
//! `Content-Encoding` makes every digest fail, a tag may be what a lifecycle rule removes, an ACL opens the blob to the
//! world. And it must not make the object one that nobody can remove.

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sdk_s3::types::{Permission, ServerSideEncryption};
use bytes::Bytes;
use futures_util::future;

use super::urls::{Added, Holder, sized};
use super::{Answer, CONTENT, Probe, UrlGuards};
use crate::domain::clock::Clock;
use crate::storage::key::Key;
use crate::storage::s3::classify;
use crate::storage::{Result, StorageError};

/// Headers that are sent together, the object that is put with them, and the copy of it.
type Attempt = (&'static [(&'static str, &'static str)], [&'static str; 2]);

const TAGGING: &str = "x-amz-tagging";
const REDIRECT: &str = "x-amz-website-redirect-location";
const REDUCED: &str = "REDUCED_REDUNDANCY";

/// What S3 alone knows goes one by one. What every HTTP client may say of its body no store that we know wants signed.
const ATTEMPTS: [Attempt; 7] = [
    (
        &[
            ("content-encoding", "gzip"),
            ("cache-control", "no-store"),
            ("content-disposition", "attachment"),
            ("content-language", "de"),
        ],
        ["of-http", "of-http-copy"],
    ),
    (&[("x-amz-meta-probe", "1")], ["metadata", "metadata-copy"]),
    (&[(TAGGING, "probe=1")], ["tagged", "tagged-copy"]),
    (&[(REDIRECT, "/probe")], ["redirected", "redirected-copy"]),
    (&[("x-amz-acl", "public-read")], ["opened", "opened-copy"]),
    (&[("x-amz-storage-class", REDUCED)], ["classed", "classed-copy"]),
    (&[("x-amz-server-side-encryption", "AES256")], ["encrypted", "encrypted-copy"]),
];

/// How long what is locked to try it stays, in seconds. A store takes no time that has passed when it looks.
const LOCKED_FOR: i64 = 60;

impl Probe<'_> {
    pub(super) async fn headers_stay_behind(&self, holder: &Holder) -> Result<Answer> {
        let attempts = ATTEMPTS.iter().map(|attempt| Box::pin(self.stay_behind(holder, attempt)));
        let answers = future::join_all(attempts).await;
        answers.into_iter().try_fold(Answer::Yes, |all, answer| Ok(all.and(answer?)))
    }

    async fn stay_behind(&self, holder: &Holder, (headers, names): &Attempt) -> Result<Answer> {
        let [key, copy] = names.map(|name| self.key(name));
        if !self.puts_with(holder, &key, &owned(headers)).await? {
            return Ok(Answer::Yes);
        }
        let found = self.store.head(key).await?;
        self.store.copy(&found.into(), &copy, None).await?;
        let survives = match headers[0].0 {
            TAGGING => self.is_tagged(&copy).await,
            "x-amz-acl" => self.is_public(&copy).await,
            _ => self.tells_more(&copy).await?,
        };
        let why = format!("{} that an uploader added survives a copy that replaces it", headers[0].0);
        Ok(Answer::yes_if(!survives, &why))
    }

    async fn puts_with(&self, holder: &Holder, key: &Key, added: &[Added]) -> Result<bool> {
        let request = self.signed_put(holder, key, sized(CONTENT), UrlGuards::default()).await?;
        holder.put(&request, added, Bytes::from_static(CONTENT)).await
    }

    /// A store without tags says so, and has none that could come along.
    async fn is_tagged(&self, key: &Key) -> bool {
        let (bucket, path) = (&self.store.settings().bucket, self.store.path(key));
        let tags = self.store.client().get_object_tagging().bucket(bucket).key(path).send().await;
        tags.is_ok_and(|tags| !tags.tag_set.is_empty())
    }

    /// Whether everybody may read it. A store without ACLs says so.
    async fn is_public(&self, key: &Key) -> bool {
        let (bucket, path) = (&self.store.settings().bucket, self.store.path(key));
        let acl = self.store.client().get_object_acl().bucket(bucket).key(path).send().await;
        acl.is_ok_and(|acl| {
            acl.grants().iter().any(|grant| {
                // Groups have addresses, people do not.
                grant.permission() == Some(&Permission::Read)
                    && grant.grantee().is_some_and(|grantee| grantee.uri().is_some())
            })
        })
    }

    /// Whether an object has what no plain PUT of ours has here: a bucket may encrypt by itself.
    async fn tells_more(&self, key: &Key) -> Result<bool> {
        let (told, plain) = (self.look(key).await?, self.look(&self.key("usable")).await?);
        Ok(!self.store.head(key.clone()).await?.is_plain || told != plain)
    }

    async fn look(
        &self,
        key: &Key,
    ) -> Result<(Option<String>, Option<String>, Option<ServerSideEncryption>)> {
        let (bucket, path) = (&self.store.settings().bucket, self.store.path(key));
        let looked = self.store.client().head_object().bucket(bucket).key(path).send().await;
        let found = looked.map_err(classify("look at an object"))?;
        let class = found.storage_class.map(|class| class.as_str().to_owned());
        Ok((found.website_redirect_location, class, found.server_side_encryption))
    }

    /// Whether no holder of a URL makes an object that cannot be removed before a time of its choice. Tried for a minute:
    /// a store that takes it keeps the object that long, and no longer. A legal hold, which ends by no time, is not tried;
    /// it comes with the same right and the same setting of the bucket.
    pub(super) async fn locks_nothing(&self, holder: &Holder) -> Result<Answer> {
        let key = self.key("locked");
        let until = DateTime::from_secs(Clock::System.now().timestamp() + LOCKED_FOR);
        let text = until.fmt(DateTimeFormat::DateTime).map_err(StorageError::unavailable("tell a time"))?;
        let added = [
            ("x-amz-object-lock-mode", "GOVERNANCE".to_owned()),
            ("x-amz-object-lock-retain-until-date", text),
        ];
        if !self.puts_with(holder, &key, &added).await? {
            return Ok(Answer::Yes);
        }
        let (bucket, path) = (&self.store.settings().bucket, self.store.path(&key));
        let looked = self.store.client().head_object().bucket(bucket).key(path).send().await;
        let locked_until = looked.map_err(classify("look at an object"))?.object_lock_retain_until_date;
        // A bucket that locks whatever is put has another time.
        let is_obeyed = locked_until.is_some_and(|time| time.secs() == until.secs());
        Ok(Answer::yes_if(
            !is_obeyed,
            "x-amz-object-lock-mode keeps what an uploader sends from being removed",
        ))
    }
}

fn owned(headers: &[(&'static str, &'static str)]) -> Vec<Added> {
    headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}
