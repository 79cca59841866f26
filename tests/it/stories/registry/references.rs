//! A manifest is taken when what it refers to is there, and keeps it there.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};

use super::NAME;
use crate::support::api::{Answer, Repository, digest_of};
use crate::support::image::{CONFIG, IMAGE, LAYER, descriptor, image, index};
use crate::support::trial::Story;
use crate::support::{Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![
        ("whatever_a_manifest_lacks_is_named_and_nothing_is_written", missing),
        ("a_blob_of_another_repository_is_not_there", elsewhere),
        ("layers_that_clients_get_elsewhere_need_not_be_there", foreign),
        ("a_subject_need_not_be_there", subject),
        ("a_blob_stays_while_a_manifest_needs_it", needed),
        ("an_index_of_blobs_is_taken_as_build_caches_push_it", build_cache),
    ]
}

fn missing(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let before = repository.tagged("v1").await;
        let there = repository.push(b"there").await;
        let layers = [descriptor(LAYER, b"there"), descriptor(LAYER, b"not there")];
        let lacking = image(&descriptor(CONFIG, b"no config"), &layers);
        for reference in ["v1".to_owned(), format!("{}?tag=v1&tag=v2", lacking.digest())] {
            assert_answer!(repository.put(&reference, &lacking).await.rendered(), @r#"
            404 Not Found
            content-type: application/json
            docker-distribution-api-version: registry/2.0
            {
              "errors": [
                {
                  "code": "MANIFEST_BLOB_UNKNOWN",
                  "detail": {
                    "digest": "sha256:56ee722d38502d7c3c21d650f07ede7331e073f9ef35d3b8845d9aa37a28843a"
                  },
                  "message": "the manifest refers to what this repository does not have; push that first"
                },
                {
                  "code": "MANIFEST_BLOB_UNKNOWN",
                  "detail": {
                    "digest": "sha256:8ad2e3a7209f33e0e28195f6b13722055e0650555ba2c1074e7d9f6a6a0b6d05"
                  },
                  "message": "the manifest refers to what this repository does not have; push that first"
                }
              ]
            }
            "#);
        }
        let child = image(&descriptor(CONFIG, b"there"), &[]);
        let lacking = index(&[before.descriptor(), child.descriptor()]);
        let refused = repository.put("v1", &lacking).await;
        assert!(refused.refused(404, "MANIFEST_BLOB_UNKNOWN").contains("push that first"));
        assert_eq!(refused.json()["errors"][0]["detail"]["digest"], child.digest().to_string());
        // Nothing was written: neither a manifest, nor a tag, nor a reference.
        assert_eq!(repository.tags().await, ["v1"]);
        assert_eq!(repository.get("v1").await.expect(200).body, before.payload);
        repository.get(lacking.digest()).await.refused(404, "MANIFEST_UNKNOWN");
        repository.delete_blob(&there).await.expect(202);

        // In the order that clients push in, all is well.
        repository.push(b"there").await;
        repository.put(child.digest(), &child).await.expect(201);
        repository.put("v1", &lacking).await.expect(201);
    }
    .boxed()
}

fn elsewhere(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let there = Repository::of(server.base_url(), "team/there");
        let here = Repository::of(server.base_url(), "team/here");
        let image = there.tagged("v1").await;
        let list = index(&[image.descriptor()]);
        there.put("list", &list).await.expect(201);

        let refused = here.put("v1", &image).await.expect(404).json();
        let digests: Vec<_> = refused["errors"].as_array().expect("errors").iter().map(digest).collect();
        assert_eq!(digests.len(), 2, "config and layer: {refused}");
        here.put("list", &list).await.refused(404, "MANIFEST_BLOB_UNKNOWN");
        here.put("v1", &image.with("subject", list.descriptor())).await.expect(404);

        // Mounted, they are.
        for digest in digests {
            let query = [("mount", digest.as_str()), ("from", "team/there")];
            let mount = here.http.post(here.url("uploads/")).query(&query);
            Answer::to(mount).await.expect(201);
        }
        here.put("v1", &image).await.expect(201);
        here.put("list", &list).await.expect(201);
        // Each repository's manifests are its own.
        for manifest in [&list, &image] {
            there.delete(manifest.digest()).await.expect(202);
        }
        assert_eq!(here.get("v1").await.expect(200).body, image.payload);
        for digest in refused["errors"].as_array().expect("errors").iter().map(digest) {
            let digest = digest.parse().expect("a digest");
            there.delete_blob(&digest).await.expect(202);
            here.delete_blob(&digest).await.refused(405, "DENIED");
            here.read(&digest).await.expect(200);
        }
    }
    .boxed()
}

fn digest(error: &Value) -> String {
    error["detail"]["digest"].as_str().expect("a digest").to_owned()
}

fn foreign(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let base = repository.image("foreign").await;
        let layers: Vec<_> = [
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        ]
        .into_iter()
        .enumerate()
        .map(|(number, media_type)| {
            let mut layer = descriptor(media_type, &[u8::try_from(number).expect("few")]);
            layer["urls"] = json!(["https://example.com/layer"]);
            layer
        })
        .collect();
        let windows = base.with("layers", json!(layers));
        repository.put("v1", &windows).await.expect(201);
        assert_eq!(repository.get("v1").await.expect(200).body, windows.payload);

        // Pushed all the same, as clients may be told to, it is kept like any other.
        let layer = repository.push(&[1]).await;
        repository.delete_blob(&layer).await.expect(202);
        repository.push(&[1]).await;
        repository.put("v1", &windows).await.expect(201);
        repository.delete_blob(&layer).await.refused(405, "DENIED");
        repository.delete(windows.digest()).await.expect(202);
        repository.delete_blob(&layer).await.expect(202);
        // A URL alone makes no layer foreign.
        let mut ordinary = descriptor(LAYER, b"elsewhere");
        ordinary["urls"] = json!(["https://example.com/layer"]);
        let ordinary = base.with("layers", json!([ordinary]));
        repository.put("v2", &ordinary).await.refused(404, "MANIFEST_BLOB_UNKNOWN");
    }
    .boxed()
}

fn subject(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let subject = repository.image("subject").await;
        let attached = repository.image("attached").await.with("subject", subject.descriptor());
        let listed = index(&[]).with("subject", subject.descriptor());
        for (tag, manifest) in [("attached", &attached), ("listed", &listed)] {
            for reference in [tag.to_owned(), manifest.digest().to_string()] {
                let answer = repository.put(reference, manifest).await.expect(201);
                assert_eq!(answer.header("oci-subject"), Some(subject.digest().to_string().as_str()));
            }
        }
        // As it was named, by whichever algorithm.
        let long = json!({ "mediaType": IMAGE, "digest": subject.sha512(), "size": subject.payload.len() });
        let answer = repository.put("long", &attached.with("subject", long)).await.expect(201);
        assert_eq!(answer.header("oci-subject"), Some(subject.sha512().to_string().as_str()));
        assert_eq!(repository.put("subject", &subject).await.expect(201).header("oci-subject"), None);
        // It stays the subject when it is gone.
        repository.delete(subject.digest()).await.expect(202);
        assert_eq!(repository.get("attached").await.expect(200).body, attached.payload);
    }
    .boxed()
}

fn needed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let config = repository.push(b"{}").await;
        let shared = repository.push(b"shared").await;
        let layers = [descriptor(LAYER, b"shared")];
        let first = image(&descriptor(CONFIG, b"{}"), &layers);
        let second = first.with("annotations", json!({ "second": "yes" }));
        repository.put("first", &first).await.expect(201);
        repository.put(second.digest(), &second).await.expect(201);
        for blob in [&config, &shared] {
            let refused = repository.delete_blob(blob).await;
            assert_answer!(refused.rendered(), @r#"
            405 Method Not Allowed
            allow: GET, HEAD
            content-type: application/json
            docker-distribution-api-version: registry/2.0
            {
              "errors": [
                {
                  "code": "DENIED",
                  "message": "a manifest or a file of this repository needs the blob; delete that first"
                }
              ]
            }
            "#);
            repository.read(blob).await.expect(200);
        }
        // Not the tag keeps it, but the manifest.
        repository.delete("first").await.expect(202);
        repository.delete(first.digest()).await.expect(202);
        repository.delete_blob(&shared).await.refused(405, "DENIED");
        repository.delete(second.digest()).await.expect(202);
        for blob in [&config, &shared] {
            repository.read(blob).await.expect(200);
            repository.delete_blob(blob).await.expect(202);
            repository.delete_blob(blob).await.refused(404, "BLOB_UNKNOWN");
            assert_eq!(repository.head_blob(blob).await.status, 404);
        }
        assert_eq!(
            repository.put("first", &first).await.expect(404).json()["errors"].as_array().map(Vec::len),
            Some(2)
        );
    }
    .boxed()
}

/// The registry cache of `BuildKit`, unless it is told to make an image of it: an index whose entries are blobs.
/// Docker's registry takes it.
fn build_cache(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let config = "application/vnd.buildkit.cacheconfig.v0";
        let image = repository.tagged("v1").await;
        let cache = index(&[descriptor(LAYER, b"cached"), descriptor(config, b"{}"), image.descriptor()]);
        repository.put("cache", &cache).await.expect(404);
        repository.push(b"cached").await;
        repository.push(b"{}").await;
        repository.put("cache", &cache).await.expect(201);
        assert_eq!(repository.get("cache").await.expect(200).body, cache.payload);
        // As a layer of an image would be, it is kept.
        let blob = digest_of(b"cached");
        repository.delete_blob(&blob).await.refused(405, "DENIED");
        repository.delete(cache.digest()).await.expect(202);
        repository.delete_blob(&blob).await.expect(202);
    }
    .boxed()
}
