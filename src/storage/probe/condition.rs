//! Whether `If-None-Match: *` is kept to, also by several at once. Nothing rests on it: the database decides who
//! wins, because not every store can.

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};

use super::{Answer, CONTENT, Capability, Probe};
use crate::domain::part::PartNumber;
use crate::storage::key::Key;
use crate::storage::s3::classify;
use crate::storage::{Result, StorageError};

/// Writers that race for one key: more than a store takes one after the other by accident.
const RACERS: usize = 8;
const ANYTHING: &str = "*";

impl Probe<'_> {
    pub(super) async fn conditional_put(&self) -> [(Capability, Answer); 2] {
        let alone = async {
            let key = self.there("put-there").await?;
            refused(self.put_new(&key).await)
        };
        let raced = async {
            let key = self.key("put");
            one_won(join_all((0..RACERS).map(|_| self.put_new(&key))).await)
        };
        both([Capability::ConditionalPut, Capability::ConditionalPutRaced], alone.await, raced).await
    }

    pub(super) async fn conditional_copy(&self) -> [(Capability, Answer); 2] {
        let alone = async {
            let key = self.there("copy-there").await?;
            refused(self.copy_new(&key).await)
        };
        let raced = async {
            let key = self.key("copy");
            one_won(join_all((0..RACERS).map(|_| self.copy_new(&key))).await)
        };
        both([Capability::ConditionalCopy, Capability::ConditionalCopyRaced], alone.await, raced).await
    }

    pub(super) async fn conditional_complete(&self) -> [(Capability, Answer); 2] {
        let alone = async {
            let key = self.there("complete-there").await?;
            let begun = self.begin(&key).await?;
            refused(self.complete_new(&key, begun).await)
        };
        let raced = async {
            let key = self.key("complete");
            let begun = try_join_all((0..RACERS).map(|_| self.begin(&key))).await?;
            one_won(join_all(begun.into_iter().map(|begun| self.complete_new(&key, begun))).await)
        };
        both([Capability::ConditionalComplete, Capability::ConditionalCompleteRaced], alone.await, raced)
            .await
    }

    /// An object that is there already.
    async fn there(&self, name: &'static str) -> Result<Key> {
        let key = self.key(name);
        self.store.put(&key, Bytes::from_static(CONTENT)).await?;
        Ok(key)
    }

    async fn put_new(&self, key: &Key) -> Result<()> {
        let (client, bucket) = (self.store.client(), &self.store.settings().bucket);
        let put = client.put_object().bucket(bucket).key(self.store.path(key)).if_none_match(ANYTHING);
        let put = put.body(Bytes::from_static(CONTENT).into()).send().await;
        put.map(drop).map_err(classify("write an object that is new"))
    }

    async fn copy_new(&self, key: &Key) -> Result<()> {
        let (client, bucket) = (self.store.client(), &self.store.settings().bucket);
        let copy = client.copy_object().bucket(bucket).key(self.store.path(key)).if_none_match(ANYTHING);
        let copy = copy.copy_source(self.store.copy_source(&self.key("usable"))).send().await;
        copy.map(drop).map_err(classify("copy to an object that is new"))
    }

    /// A multipart upload that only has to be completed.
    async fn begin(&self, key: &Key) -> Result<(String, CompletedPart)> {
        let store_upload_id = self.store.create_multipart_at(key).await?;
        let part = self.put_part(key, &store_upload_id, PartNumber::FIRST, CONTENT.into(), None).await?;
        Ok((store_upload_id, part))
    }

    async fn complete_new(&self, key: &Key, begun: (String, CompletedPart)) -> Result<()> {
        let (store_upload_id, part) = begun;
        let (client, bucket, path) =
            (self.store.client(), &self.store.settings().bucket, self.store.path(key));
        let complete =
            client.complete_multipart_upload().bucket(bucket).key(&path).upload_id(&store_upload_id);
        let parts = CompletedMultipartUpload::builder().parts(part).build();
        let completed = complete.if_none_match(ANYTHING).multipart_upload(parts).send().await;
        let completed = completed.map(drop).map_err(classify("complete an upload to what is new"));
        if completed.is_err() {
            // What cannot be aborted now is swept.
            let _ = self.store.abort_multipart_at(&path, &store_upload_id).await;
        }
        completed
    }
}

/// A race is run only where the condition is kept at all.
async fn both(
    [alone, raced]: [Capability; 2],
    kept: Result<Answer>,
    race: impl Future<Output = Result<Answer>>,
) -> [(Capability, Answer); 2] {
    let kept = Answer::from(kept);
    let won = if kept == Answer::Yes { race.await.into() } else { kept.clone() };
    [(alone, kept), (raced, won)]
}

fn refused(overwriting: Result<()>) -> Result<Answer> {
    match overwriting {
        Ok(()) => Ok(Answer::No("it overwrites what is there".to_owned())),
        Err(StorageError::Precondition) => Ok(Answer::Yes),
        Err(error) => Err(error),
    }
}

fn one_won(raced: Vec<Result<()>>) -> Result<Answer> {
    let mut won = 0;
    for outcome in raced {
        match outcome {
            Ok(()) => won += 1,
            Err(error @ (StorageError::Unavailable { .. } | StorageError::Busy(_))) => return Err(error),
            // AWS calls a race that it does not decide a conflict, and means a later try.
            Err(_) => {}
        }
    }
    Ok(Answer::yes_if(won == 1, &format!("{won} of {RACERS} won")))
}
