//! Sign at once: each signer begins a multipart upload at the store, and one of them is the upload.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, join_all};

use super::{assert_nothing_left, at, replicas, status};
use crate::support::api::{self, Repository};
use crate::support::{Stack, Store};

const SIGNERS: usize = 8;
/// Three parts, the last of them short.
const SIZE: usize = 11_000_000;

pub fn one_plan(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let replicas = replicas(&stack).await;
        let content = api::content(SIZE);
        let digest = api::digest_of(&content);
        let upload = Repository::of(replicas[0].base_url(), "team/app").begin().await;
        let signers: Vec<_> = (0..SIGNERS).map(|number| at(&replicas[number % 2], &upload)).collect();
        let size = SIZE.to_string();
        let query = [("mode", "multipart"), ("size", size.as_str())];
        let signed = join_all(signers.iter().map(|signer| signer.sign(&query))).await;
        let signed: Vec<_> = signed.into_iter().map(|answer| answer.expect(200).json()).collect();

        let plans: BTreeSet<_> = signed
            .iter()
            .map(|signed| (signed["part_size"].to_string(), signed["part_count"].to_string()))
            .collect();
        assert_eq!(plans, BTreeSet::from([("5242880".to_owned(), "3".to_owned())]));
        match &stack.store {
            Store::S3 { .. } => assert_eq!(stack.temp_leftovers().await.len(), 1, "one multipart upload"),
            // Parts are written into the upload's one directory, whoever signed them.
            Store::Filesystem { .. } => {
                let id = upload.id().to_string();
                assert!(stack.temp_leftovers().await.iter().all(|path| path.contains(&id)));
            }
        }
        // Whichever answer a part's URL comes from, all lead to the same upload.
        for (number, signed) in signed.iter().enumerate() {
            let mut some = signed.clone();
            let part = signed["parts"][number % 3].clone();
            some["parts"] = serde_json::json!([part]);
            assert_eq!(api::send_parts(&upload.http, &some, &content).await.len(), 1);
        }
        upload.finalize(&digest).await.expect(201);
        assert_eq!(status(&upload).await, "completed");
        assert_eq!(stack.blob_hash(&digest).await, Some(digest));
        assert_eq!(stack.objects().await.len(), 1);
        assert_nothing_left(&stack).await;
    }
    .boxed()
}
