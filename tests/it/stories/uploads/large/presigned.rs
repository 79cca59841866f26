//! Presigned parts of a blob above 5 GiB, straight to the store.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use overside::domain::blob::Proof;
use overside::domain::part::MAX_PART_SIZE;
use reqwest::Client;
use reqwest::header::CONTENT_LENGTH;
use serde_json::Value;

use super::content::Content;
use super::{LARGE, MEMORY_LIMIT, assert_published, assert_small, enough};
use crate::support::api::{Answer, Repository};
use crate::support::proxy::Traffic;
use crate::support::{FaultProxy, Stack, Store};

/// Parts on their way at once, as the client library has it.
const IN_FLIGHT: usize = 4;
/// The service's own traffic may be one byte in so many of the blob's.
const TRAFFIC_SHARE: u64 = 1000;

pub async fn story(stack: Arc<Stack>) {
    let _turn = super::turn(&stack).await;
    let content = Content { size: if stack.takes_gigabytes() { LARGE } else { enough(&stack) } };
    // Counts what the service and the store say to each other. Signed URLs lead past it. The filesystem is no
    // server: its bytes come to the service, and only memory can be small.
    let to_store = match &stack.store {
        Store::S3 { endpoint, .. } => Some((FaultProxy::in_front_of(endpoint).await, endpoint)),
        Store::Filesystem { .. } => None,
    };
    let flags = to_store.as_ref().map(|(proxy, endpoint)| {
        ["--s3-endpoint", proxy.url().as_str(), "--s3-public-endpoint", endpoint.as_str()]
    });
    let server = stack.server(flags.as_ref().map_or(&[], |flags| flags.as_slice())).await;
    // The probe has been there: what counts is what uploading adds.
    let probed = to_store.as_ref().map(|(proxy, _)| proxy.traffic());
    let added = |proxy: &FaultProxy| {
        let (now, probed) = (proxy.traffic(), probed.expect("a proxy that was there from the start"));
        Traffic { to_target: now.to_target - probed.to_target, to_client: now.to_client - probed.to_client }
    };
    // And what clients and the service say to each other.
    let address = server.base_url().parse().expect("a URL");
    let to_service = FaultProxy::in_front_of(&address).await;
    let repository = Repository::of(to_service.url().as_str().trim_end_matches('/'), "team/large");
    let digest = content.digest().await;

    let upload = repository.begin().await;
    let terms = [("size", content.size.to_string()), ("digest", digest.to_string())];
    let mut next = 1;
    loop {
        let mut query: Vec<_> = terms.iter().map(|(name, value)| (*name, value.as_str())).collect();
        query.push(("mode", "multipart"));
        // Without a range the first hundred that have not arrived are signed.
        let signed = upload.sign(&query).await.expect(200).json();
        let received = signed["received"].as_array().expect("a list").len() as u64;
        assert_eq!(received, next - 1, "parts that are stored are told, and not asked for again");
        let parts = signed["parts"].as_array().expect("a list").clone();
        if parts.is_empty() {
            assert_eq!(signed["part_count"], next - 1);
            break;
        }
        assert_eq!(parts[0]["part_number"], next);
        next += parts.len() as u64;
        let sending =
            parts.into_iter().map(|part| tokio::spawn(send(repository.http.clone(), content, part)));
        let mut sent = stream::iter(sending).buffer_unordered(IN_FLIGHT);
        while let Some(answer) = sent.next().await {
            answer.expect("sending does not panic").expect(200);
        }
    }
    let most = content.size / TRAFFIC_SHARE;
    if let Some((proxy, _)) = &to_store {
        let client = to_service.traffic();
        assert!(client.to_target + client.to_client < most, "{client:?}");
        let store = added(proxy);
        assert!(store.to_target + store.to_client < most, "{store:?}");
    }

    upload.finalize(&digest).await.expect(201);
    // What one copy takes is proven by it.
    let proof =
        if to_store.is_some() && content.size <= MAX_PART_SIZE { Proof::StoreCopy } else { Proof::ReadBack };
    if let Some((proxy, _)) = &to_store {
        let store = added(proxy);
        assert!(store.to_target < most, "placing is the store's own work: {store:?}");
        let read = if proof == Proof::StoreCopy { 0 } else { content.size };
        assert!(store.to_client < read + most, "{proof} reads {read} bytes: {store:?}");
    }
    assert_published(&stack, &repository, content, digest, proof).await;
    assert_small(&server, MEMORY_LIMIT);
}

pub async fn send(http: Client, content: Content, part: Value) -> Answer {
    let number = |field: &str| part[field].as_u64().expect("a number");
    let (offset, size) = (number("offset"), number("size"));
    let mut put = http.put(part["presigned_url"].as_str().expect("a URL"));
    for (name, value) in part["headers"].as_object().expect("headers") {
        if *name != CONTENT_LENGTH.as_str() {
            put = put.header(name, value.as_str().expect("text"));
        }
    }
    Answer::to(put.header(CONTENT_LENGTH, size).body(content.body(offset, offset + size))).await
}
