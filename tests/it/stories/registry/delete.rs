//! `DELETE …/manifests/{reference}`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::json;

use super::NAME;
use crate::support::api::{Repository, digest_of};
use crate::support::image::index;
use crate::support::trial::Story;
use crate::support::{Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![
        ("deleting_a_tag_leaves_its_manifest", tag),
        ("deleting_a_manifest_takes_its_tags_and_no_other", manifest),
        ("a_child_of_an_index_stays_until_the_index_goes", child),
    ]
}

fn tag(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.tagged("v1").await;
        repository.put("latest", &image).await.expect(201);
        assert_answer!(repository.delete("v1").await.rendered(), @r#"
        202 Accepted
        docker-distribution-api-version: registry/2.0
        "#);
        assert_answer!(repository.delete("v1").await.rendered(), @r#"
        404 Not Found
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        {
          "errors": [
            {
              "code": "MANIFEST_UNKNOWN",
              "message": "no such manifest in this repository"
            }
          ]
        }
        "#);
        repository.get("v1").await.refused(404, "MANIFEST_UNKNOWN");
        assert_eq!(repository.head("v1").await.status, 404);
        assert_eq!(repository.tags().await, ["latest"]);
        repository.delete("latest").await.expect(202);
        assert_eq!(repository.tags().await, Vec::<String>::new());
        assert_eq!(repository.get(image.digest()).await.expect(200).body, image.payload);
        repository.put("v1", &image).await.expect(201);
        assert_eq!(repository.get("v1").await.expect(200).body, image.payload);
    }
    .boxed()
}

fn manifest(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.tagged("v1").await;
        repository.put("latest", &image).await.expect(201);
        // Of the same blobs.
        let other = image.with("annotations", json!({ "a": "b" }));
        repository.put("other", &other).await.expect(201);
        let elsewhere = Repository::of(server.base_url(), "team/other");
        let same = elsewhere.tagged("v1").await;
        assert_eq!(same.digest(), image.digest());

        repository.delete(image.digest()).await.expect(202);
        repository.delete(image.digest()).await.refused(404, "MANIFEST_UNKNOWN");
        for reference in ["v1".to_owned(), "latest".to_owned(), image.digest().to_string()] {
            repository.get(&reference).await.refused(404, "MANIFEST_UNKNOWN");
            assert_eq!(repository.head(&reference).await.status, 404);
        }
        assert_eq!(repository.tags().await, ["other"]);
        assert_eq!(repository.get("other").await.expect(200).body, other.payload);
        assert_eq!(elsewhere.get("v1").await.expect(200).body, image.payload);
        // What was never there, and what is of another repository.
        repository.delete(digest_of(b"never")).await.refused(404, "MANIFEST_UNKNOWN");
        elsewhere.delete(other.digest()).await.refused(404, "MANIFEST_UNKNOWN");
        let unknown = Repository::of(server.base_url(), "team/unknown");
        for reference in ["v1".to_owned(), image.digest().to_string()] {
            unknown.delete(reference).await.refused(404, "MANIFEST_UNKNOWN");
        }
        repository.put("v1", &image).await.expect(201);
        assert_eq!(repository.tags().await, ["other", "v1"]);
    }
    .boxed()
}

fn child(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.tagged("v1").await;
        let list = index(&[image.descriptor()]);
        repository.put("list", &list).await.expect(201);
        let second = index(&[image.descriptor()]).with("annotations", json!({ "number": "2" }));
        repository.put("second", &second).await.expect(201);
        // However often it is pushed, and without a tag as well.
        repository.put("list", &list).await.expect(201);
        repository.delete("list").await.expect(202);
        for left in [&list, &second] {
            let refused = repository.delete(image.digest()).await;
            assert_eq!(refused.header("allow"), Some("GET, HEAD, PUT"));
            refused.refused(405, "DENIED");
            assert_eq!(repository.get(image.digest()).await.expect(200).body, image.payload);
            assert_eq!(repository.tags().await, ["second", "v1"]);
            repository.delete(left.digest()).await.expect(202);
        }
        // Children stay when their index goes.
        assert_eq!(repository.get(image.digest()).await.expect(200).body, image.payload);
        repository.delete(image.digest()).await.expect(202);
    }
    .boxed()
}
