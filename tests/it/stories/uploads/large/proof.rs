//! One presigned PUT with a declared digest: the store's own checksum is the proof.

use std::sync::Arc;

use overside::domain::blob::Proof;
use overside::domain::digest::Digest;
use serde_json::Value;

use super::content::Content;
use super::{assert_published, is_localstack};
use crate::support::api::{Answer, Repository, Upload};
use crate::support::process::Server;
use crate::support::{FaultProxy, Stack, Store};

const SIZE: u64 = 64 << 20;
/// What finalizing may read: answers without bodies, one part in a thousand of the blob.
const READ_LIMIT: u64 = 64 << 10;
/// The filesystem's finalize is counted by the kernel, with what SQLite reads of its own file.
const READ_LIMIT_OF_PROCESS: u64 = 1 << 20;

pub async fn without_reading(stack: Arc<Stack>) {
    let content = Content { size: SIZE };
    let (server, proxy) = counted(&stack).await;
    let repository = Repository::of(server.base_url(), "team/large");
    let digest = content.digest().await;
    let upload = repository.begin().await;
    put(&upload, content, &digest).await.expect(200);

    let read = || match &proxy {
        Some(proxy) => proxy.traffic().to_client,
        None => read_by(&server),
    };
    let before = read();
    upload.finalize(&digest).await.expect(201);
    let read = read() - before;
    // LocalStack empties an object when it refuses to overwrite it, and goes on reporting the old checksum. The
    // probe at start sees that, and the proof there is the next cheapest: computed by the copy that publishes.
    let (most, proof) = match &proxy {
        Some(_) if is_localstack(&stack) => (READ_LIMIT, Proof::StoreCopy),
        Some(_) => (READ_LIMIT, Proof::StoreChecksum),
        None => (READ_LIMIT_OF_PROCESS, Proof::StoreChecksum),
    };
    assert!(read < most, "{read} bytes");
    assert_published(&stack, &repository, content, digest, proof).await;
}

pub async fn wrong_body(stack: Arc<Stack>) {
    let (server, _) = counted(&stack).await;
    let repository = Repository::of(server.base_url(), "team/large");
    let content = Content { size: SIZE };
    let other = Digest::from_sha256([7; 32]);
    let upload = repository.begin().await;

    let refused = put(&upload, content, &other).await;
    assert!((400..500).contains(&refused.status), "{}: {}", refused.status, refused.text());
    let told = upload.finalize(&other).await.refused(400, "BLOB_UPLOAD_INVALID");
    assert!(told.contains("nothing has been uploaded"), "{told}");
    assert_eq!(upload.state().await.expect(200).json()["status"], "uploading");

    upload.abort().await.expect(204);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    assert_eq!(stack.objects().await, []);
}

/// A service, and a counter between it and its store where that is a server.
async fn counted(stack: &Stack) -> (Server, Option<FaultProxy>) {
    let Store::S3 { endpoint, .. } = &stack.store else { return (stack.server(&[]).await, None) };
    let proxy = FaultProxy::in_front_of(endpoint).await;
    let flags = ["--s3-endpoint", proxy.url().as_str(), "--s3-public-endpoint", endpoint.as_str()];
    (stack.server(&flags).await, Some(proxy))
}

async fn put(upload: &Upload, content: Content, digest: &Digest) -> Answer {
    let query = [("size", content.size.to_string()), ("digest", digest.to_string())];
    let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let signed = upload.sign(&query).await.expect(200).json();
    assert_eq!(signed["mode"], "put");
    super::presigned::send(upload.http.clone(), content, whole(signed, content)).await
}

/// A signed PUT, told as the one part it is.
fn whole(mut signed: Value, content: Content) -> Value {
    signed["offset"] = 0.into();
    signed["size"] = content.size.into();
    signed
}

/// Bytes that the process has read, from files and connections alike.
fn read_by(server: &Server) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{}/io", server.pid())).expect("Linux counts bytes");
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("a count of bytes read");
    read.parse().expect("a number")
}
