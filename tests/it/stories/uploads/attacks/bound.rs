//! A URL that was signed with a digest, and bytes of another.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::{assert_nothing_left, repository, send_with, server, signed, tells};
use crate::support::Stack;
use crate::support::api::{content, digest_of};

const SIZE: usize = 100_000;

/// Headers that change how a store checks a body, alone or together; `*` stands for the other bytes' checksum.
const BESIDE: [&[(&str, &str)]; 9] = [
    &[],
    &[("x-amz-checksum-sha256", "*")],
    // MinIO then leaves the signed SHA-256 alone.
    &[("x-amz-checksum-algorithm", "CRC32")],
    &[("x-amz-checksum-algorithm", "CRC64NVME"), ("x-amz-checksum-type", "FULL_OBJECT")],
    &[("x-amz-sdk-checksum-algorithm", "SHA1")],
    &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")],
    &[
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ],
    &[("content-encoding", "aws-chunked"), ("x-amz-decoded-content-length", "100000")],
    &[("x-amz-meta-x-amz-checksum-sha256", "*"), ("content-md5", "")],
];

pub fn other_bytes(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = server(&stack).await;
        let repository = repository(&server);
        let (bytes, other) = (content(SIZE), vec![7; SIZE]);
        let (digest, own) = (digest_of(&bytes), digest_of(&other));
        let (declared, checksum) = (digest.to_string(), own.to_base64().expect("it is a SHA-256"));
        let mut uploads = Vec::new();
        for beside in BESIDE {
            let upload = repository.begin().await;
            let beside: Vec<_> = beside
                .iter()
                .map(|(name, value)| (*name, if *value == "*" { &checksum } else { *value }))
                .collect();
            let query = [("size", "100000"), ("digest", declared.as_str()), ("mode", "put")];
            if let Some(signed) = signed(&upload, &query).await {
                let sent = send_with(&upload, &signed, &beside, other.clone()).await;
                let finalized = upload.finalize(&digest).await;
                assert_eq!(finalized.status, 400, "{beside:?}, sent: {sent}: {}", finalized.text());
                assert!(!tells(&finalized, &own), "{beside:?}: {}", finalized.text());
            }
            repository.read(&digest).await.expect(404);
            repository.read(&own).await.expect(404);
            uploads.push(upload);
        }
        assert_eq!(stack.objects().await, vec![]);
        assert_nothing_left(&stack, &uploads).await;
    }
    .boxed()
}
