//! How large a manifest may be, and how much it may refer to.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream;
use reqwest::Body;
use serde_json::{Value, json};

use super::NAME;
use crate::support::Stack;
use crate::support::api::{Repository, digest_of};
use crate::support::image::{IMAGE, LAYER};
use crate::support::trial::Story;

/// What every registry should take (OCI distribution 1.1.1, "Pushing manifests").
const LARGEST: usize = 4 * 1024 * 1024;
/// Missing references that an answer names.
const NAMED: usize = 100;

pub fn cases() -> Vec<Story> {
    vec![
        ("four_mebibytes_are_taken_and_a_byte_more_is_not", sizes),
        ("a_manifest_of_many_layers_is_taken_and_its_lack_of_them_told_briefly", many_layers),
    ]
}

/// In pieces, so that no length is told.
fn streamed(payload: &Bytes) -> Body {
    let pieces: Vec<_> =
        payload.chunks(100_000).map(Bytes::copy_from_slice).map(Ok::<_, std::io::Error>).collect();
    Body::wrap_stream(stream::iter(pieces))
}

fn sizes(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.image("sizes").await;
        let (largest, larger) = (image.padded(LARGEST), image.padded(LARGEST + 1));
        repository.put("told", &largest).await.expect(201);
        repository.put_as("untold", Some(IMAGE), streamed(&largest.payload)).await.expect(201);
        for tag in ["told", "untold"] {
            let get = repository.get(tag).await.expect(200);
            assert!(get.body == largest.payload, "{tag}");
            assert_eq!(get.header("content-length"), Some(LARGEST.to_string().as_str()));
            let head = repository.head(tag).await.expect(200);
            assert_eq!(head.header("content-length"), Some(LARGEST.to_string().as_str()));
        }
        // Annotations instead of spaces, as the conformance suite fills them up.
        let annotations: serde_json::Map<_, _> =
            (0..390).map(|n| (format!("annotation-{n}"), json!("A".repeat(10_000)))).collect();
        let annotated = image.with("annotations", Value::Object(annotations));
        repository.put("annotated", &annotated).await.expect(201);
        assert!(repository.get("annotated").await.expect(200).body == annotated.payload);

        for reference in ["larger".to_owned(), larger.digest().to_string()] {
            repository.put(&reference, &larger).await.refused(413, "SIZE_INVALID");
            let untold = repository.put_as(&reference, Some(IMAGE), streamed(&larger.payload)).await;
            untold.refused(413, "SIZE_INVALID");
            repository.get(&reference).await.refused(404, "MANIFEST_UNKNOWN");
        }
        assert_eq!(repository.tags().await, ["annotated", "told", "untold"]);
    }
    .boxed()
}

fn many_layers(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.image("many").await;
        let layer = |number: usize| json!({ "mediaType": LAYER, "digest": digest_of(&number.to_le_bytes()), "size": 8 });
        let layers: Vec<_> = (0..20_000).map(layer).collect();
        let many = image.with("layers", json!(layers));
        let answer = repository.put("many", &many).await.expect(404);
        assert_eq!(answer.json()["errors"].as_array().map(Vec::len), Some(NAMED));
        repository.get("many").await.refused(404, "MANIFEST_UNKNOWN");

        // The same layer very often needs to be there once.
        let digest = repository.push(&7_usize.to_le_bytes()).await;
        let often = image.with("layers", json!(vec![layer(7); 20_000]));
        repository.put("often", &often).await.expect(201);
        repository.delete_blob(&digest).await.refused(405, "DENIED");
        let some = image.with("layers", json!([layer(7), layer(8)]));
        assert_eq!(repository.put("some", &some).await.expect(404).json()["errors"].as_array().map(Vec::len), Some(1));
    }
    .boxed()
}
