//! `X-Amz-Meta-Snowball-Auto-Extract`: `MinIO` and what is made of it unpack a tar into whatever keys it names.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::storage::key;

use super::{assert_nothing_left, repository, send_with, server, signed};
use crate::support::api::{content, digest_of};
use crate::support::servers::BUCKET;
use crate::support::trial::not_here;
use crate::support::{Stack, Store};

/// What the entry is of, in bytes: one block of a tar and a little.
const SIZE: usize = 700;

pub fn archive(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::S3 { prefix, client, .. } = &stack.store else { not_here("it is about buckets") };
        let server = server(&stack).await;
        let repository = repository(&server);
        // Bytes at the place of a blob whose digest they do not have, and at a key of no meaning.
        let (planted, digest) = (content(SIZE), digest_of(b"what is planted is not this"));
        let places = [format!("{prefix}/{}", key::blob(&digest).as_str()), format!("{prefix}/planted")];
        let mut uploads = Vec::new();
        for place in &places {
            let mut archive = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_size(SIZE as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, place, &planted[..]).expect("an entry");
            let archive = archive.into_inner().expect("an archive");
            let (size, of_archive) = (archive.len().to_string(), digest_of(&archive).to_string());
            for query in [&[("size", size.as_str()), ("digest", of_archive.as_str())][..], &[("size", &size)]]
            {
                let upload = repository.begin().await;
                let Some(signed) = signed(&upload, query).await else { continue };
                let beside = [
                    ("X-Amz-Meta-Snowball-Auto-Extract", "true"),
                    ("X-Amz-Meta-Minio-Snowball-Ignore-Dirs", "true"),
                ];
                send_with(&upload, &signed, &beside, archive.clone()).await;
                uploads.push(upload);
            }
            let found = client.head_object().bucket(BUCKET).key(place).send().await;
            assert!(found.is_err(), "{place} was written through an upload URL");
        }
        assert_eq!(stack.objects().await, vec![]);
        repository.read(&digest).await.expect(404);
        assert_nothing_left(&stack, &uploads).await;
    }
    .boxed()
}
