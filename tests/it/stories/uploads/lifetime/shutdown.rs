//! SIGTERM in the middle of work: it is saved and handed over.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::header::CONTENT_LENGTH;

use super::{NAME, PART_SIZE, PATIENCE, POLL, SMALL_PARTS, at, stop, until};
use crate::support::api::{self, Answer, Repository};
use crate::support::process::signal;
use crate::support::{FaultProxy, Stack, Store, Strike};

const GRACE: [&str; 2] = ["--shutdown-grace", "1s"];
/// So much is sent before the sender pauses: parts have gone out, and a tail is left.
const SENT: usize = 2 * PART_SIZE + 1_000_000;
/// The sockets on the way hold less than this, so the service has begun when so much has been forwarded.
const IN_SOCKETS: usize = 8 << 20;
/// A proof by reading takes so much longer than a signal.
const READ_BACK: usize = 96 << 20;
/// Of a multipart finalize: parts listed, completed, looked at, and the first of the reads.
const WHILE_READING: u64 = 4;

pub async fn during_patch(stack: Arc<Stack>) {
    let flags = [&GRACE[..], &SMALL_PARTS].concat();
    let mut server = stack.server(&flags).await;
    let line = FaultProxy::in_front_of(&server.base_url().parse().expect("a URL")).await;
    let content = Bytes::from(api::content(3 * PART_SIZE + 12_345));
    let begun = Repository::of(line.url().as_str().trim_end_matches('/'), NAME).begin().await;

    // A sender that stalls, as a person's laptop in a train does.
    let pieces = content.slice(..SENT).chunks(64 << 10).map(Bytes::copy_from_slice).collect::<Vec<_>>();
    let body = stream::iter(pieces).chain(stream::pending()).map(Ok::<_, Infallible>);
    let patch = begun.http.patch(&begun.url).header(CONTENT_LENGTH, content.len());
    let patch = tokio::spawn(patch.body(reqwest::Body::wrap_stream(body)).send());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while line.traffic().to_target < IN_SOCKETS as u64 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", line.traffic());
        tokio::time::sleep(POLL).await;
    }
    stop(&mut server).await;
    let answer = patch.await.expect("sending does not panic");
    assert!(answer.as_ref().map_or(true, |answer| answer.status() == 503), "{answer:?}");

    let replica = stack.server(&flags).await;
    let upload = at(replica.base_url(), &begun);
    let state = upload.state().await.expect(200).json();
    let offset = usize::try_from(state["received_offset"].as_u64().expect("a number")).expect("small");
    assert!(0 < offset && offset <= SENT, "{offset}");
    let told = Answer::to(upload.http.get(&upload.url)).await.expect(204);
    assert_eq!(told.header("range"), Some(format!("0-{}", offset - 1).as_str()));
    let rest = format!("{offset}-{}", content.len() - 1);
    upload.patch(Some(&rest), content.slice(offset..)).await.expect(202);
    let digest = api::digest_of(&content);
    upload.finalize(&digest).await.expect(201);
    assert_eq!(stack.blob_bytes(&digest).await.as_deref(), Some(content.as_ref()));
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

pub async fn during_finalize(stack: Arc<Stack>) {
    let replica = stack.server(&["--clean-interval", "1s"]).await;
    let proxy = match &stack.store {
        Store::S3 { endpoint, .. } => Some((FaultProxy::in_front_of(endpoint).await, endpoint.as_str())),
        Store::Filesystem { .. } => None,
    };
    let mut flags = GRACE.to_vec();
    if let Some((proxy, endpoint)) = &proxy {
        flags.extend(["--s3-endpoint", proxy.url().as_str(), "--s3-public-endpoint", endpoint]);
    }
    let mut server = stack.server(&flags).await;
    let content = api::content(1 << 20).repeat(READ_BACK >> 20);
    let (size, digest) = (content.len().to_string(), api::digest_of(&content));
    let upload = Repository::of(server.base_url(), NAME).begin().await;
    let signed = upload.sign(&[("size", &size), ("mode", "multipart")]).await.expect(200).json();
    api::send_parts(&upload.http, &signed, &content).await;

    let pid = server.pid();
    if let Some((proxy, _)) = &proxy {
        proxy.arm(WHILE_READING, Strike::After, move || signal(pid, "-TERM"));
    }
    let finalize = upload.http.put(&upload.url).query(&[("digest", digest.to_string())]);
    let accepted = Answer::to(finalize.header("prefer", "respond-async")).await.expect(202);
    assert_eq!(accepted.header("preference-applied"), Some("respond-async"));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while proxy.as_ref().is_some_and(|(proxy, _)| proxy.is_armed()) {
        assert!(tokio::time::Instant::now() < deadline, "the finalize never read");
        tokio::time::sleep(POLL).await;
    }
    // A filesystem has no line to strike at: there this signal falls into the finalize or just behind it.
    stop(&mut server).await;

    // Nobody asks for it again: the replica's worker finds what was left and completes it.
    let state = until(&at(replica.base_url(), &upload), "completed").await;
    assert_eq!(state["digest"], digest.to_string());
    assert_eq!(stack.blob_bytes(&digest).await.as_deref(), Some(content.as_slice()));
    if proxy.is_some() {
        assert!(stack.logs().contains("took over an abandoned finalize"));
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !stack.temp_leftovers().await.is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", stack.temp_leftovers().await);
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(stack.objects().await.len(), 1);
}
