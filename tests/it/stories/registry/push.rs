//! `PUT …/manifests/{reference}`: what is taken, and under which names.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::json;

use super::NAME;
use crate::support::api::{Answer, Repository, digest_of};
use crate::support::image::{IMAGE, Manifest, index};
use crate::support::trial::Story;
use crate::support::{Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![
        ("a_manifest_is_pushed_by_tag_and_by_digest_and_once_more", pushed),
        ("a_tag_moves_and_what_it_meant_before_stays", moved),
        ("a_push_by_digest_sets_as_many_tags_as_it_names", many_tags),
        ("tags_that_are_none_set_nothing", bad_tags),
        ("a_manifest_that_is_not_of_its_digest_is_refused", mismatched),
        ("whatever_a_manifest_looks_like_it_stays_byte_by_byte", formatted),
        ("manifests_go_by_sha512_as_well", sha512),
    ]
}

fn pushed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.image("pushed").await;
        let digest = image.digest().to_string();
        for reference in ["v1", &digest, "v1", "latest"] {
            let answer = repository.put(reference, &image).await;
            assert_answer!(answer.rendered(), @r#"
            201 Created
            docker-content-digest: sha256:42d01f984b847a14b7a2c1559a73ac4223442d51b52db8e6131f427dd1d091b2
            docker-distribution-api-version: registry/2.0
            location: <origin>/v2/team/app/model/manifests/sha256:42d01f984b847a14b7a2c1559a73ac4223442d51b52db8e6131f427dd1d091b2
            "#);
            let place = answer.header("location").expect("a place");
            let get = Answer::to(repository.http.get(place)).await.expect(200);
            assert_eq!(get.body, image.payload);
        }
        assert_eq!(repository.tags().await, ["latest", "v1"]);
    }
    .boxed()
}

fn moved(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let first = repository.tagged("v1").await;
        let second = repository.image("second").await;
        repository.put("v1", &second).await.expect(201);
        assert_eq!(repository.get("v1").await.expect(200).body, second.payload);
        assert_eq!(repository.get(first.digest()).await.expect(200).body, first.payload);
        // And back, to what is there already.
        repository.put("v1", &first).await.expect(201);
        assert_eq!(repository.get("v1").await.expect(200).body, first.payload);
        // Deleting what it meant once does not touch it.
        repository.delete(second.digest()).await.expect(202);
        assert_eq!(repository.get("v1").await.expect(200).body, first.payload);
        // A tag of another repository is another tag.
        let other = Repository::of(server.base_url(), "team/other");
        let elsewhere = other.tagged("v1").await.with("annotations", json!({ "at": "other" }));
        other.put("v1", &elsewhere).await.expect(201);
        assert_eq!(repository.get("v1").await.expect(200).body, first.payload);
    }
    .boxed()
}

fn many_tags(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let before = repository.tagged("latest").await;
        let image = repository.image("tagged").await;
        let digest = image.digest();
        let answer = repository.put(format!("{digest}?tag=v1.2.3&tag=v1&tag=latest&tag=v1"), &image).await;
        assert_answer!(answer.rendered(), @r#"
        201 Created
        docker-content-digest: sha256:96df83769d2c87d8448eac013e36d1abf61835c7f43de5e4806e3e64bf695f2e
        docker-distribution-api-version: registry/2.0
        location: <origin>/v2/team/app/model/manifests/sha256:96df83769d2c87d8448eac013e36d1abf61835c7f43de5e4806e3e64bf695f2e
        oci-tag: latest
        oci-tag: v1
        oci-tag: v1.2.3
        "#);
        assert_eq!(repository.tags().await, ["latest", "v1", "v1.2.3"]);
        for tag in ["latest", "v1", "v1.2.3"] {
            assert_eq!(repository.get(tag).await.expect(200).body, image.payload, "{tag}");
        }
        assert_eq!(repository.get(before.digest()).await.expect(200).body, before.payload);
        // By a tag as well: that one and the others.
        let answer = repository.put("v2?tag=v2.0", &before).await.expect(201);
        assert_eq!(answer.header("oci-tag"), Some("v2.0"));
        for tag in ["v2", "v2.0"] {
            assert_eq!(repository.get(tag).await.expect(200).body, before.payload, "{tag}");
        }
        // What was not asked for is not told.
        assert_eq!(repository.put("v3", &before).await.expect(201).header("oci-tag"), None);
        // As many as the coming version wants taken at least, and more.
        let most: Vec<_> = (0..50).map(|number| format!("tag=n{number}")).collect();
        let answer = repository.put(format!("{digest}?{}", most.join("&")), &image).await.expect(201);
        assert_eq!(answer.headers.get_all("oci-tag").iter().count(), 50);
        assert_eq!(repository.tags().await.len(), 56);
    }
    .boxed()
}

fn bad_tags(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.image("refused").await;
        let digest = image.digest();
        let many: Vec<_> = (0..51).map(|number| format!("tag=n{number}")).collect();
        let long = format!("tag={}", "a".repeat(129));
        for query in ["tag=good&tag=.bad", "tag=", "tag=a/b", "tag=sha256:1", &long, &many.join("&")] {
            repository.put(format!("{digest}?{query}"), &image).await.refused(400, "MANIFEST_INVALID");
        }
        for reference in [".INVALID_MANIFEST_NAME", "-v1", "v%201", &"a".repeat(129)] {
            repository.put(reference, &image).await.refused(400, "MANIFEST_INVALID");
        }
        repository.get(digest).await.refused(404, "MANIFEST_UNKNOWN");
        assert_eq!(repository.tags().await, Vec::<String>::new());
        let longest = "a".repeat(128);
        repository.put(&longest, &image).await.expect(201);
        for tag in [longest.as_str(), "_", "0", "A_b-c.d"] {
            repository.put(tag, &image).await.expect(201);
            assert_eq!(repository.get(tag).await.expect(200).body, image.payload);
        }
    }
    .boxed()
}

fn mismatched(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.image("mismatched").await;
        // One space more: the content is the same, the bytes are not.
        let spaced = image.padded(image.payload.len() + 1);
        for (expected, sent) in [(image.digest(), &spaced), (spaced.sha512(), &image)] {
            let message =
                repository.put(format!("{expected}?tag=v1"), sent).await.refused(400, "DIGEST_INVALID");
            assert!(message.contains(&expected.to_string()), "{message}");
        }
        // So is what is no manifest anyway.
        repository.put_as(digest_of(b"{}"), Some(IMAGE), "{ }").await.refused(400, "DIGEST_INVALID");
        for reference in [image.digest(), spaced.digest(), spaced.sha512(), image.sha512()] {
            repository.get(reference).await.refused(404, "MANIFEST_UNKNOWN");
        }
        repository.get("v1").await.refused(404, "MANIFEST_UNKNOWN");
    }
    .boxed()
}

fn formatted(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.image("formatted").await;
        let compact = String::from_utf8(image.payload.to_vec()).expect("JSON");
        let pretty =
            serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(&compact).expect("JSON"));
        let pretty = pretty.expect("JSON");
        let more = |fields: &str| compact.replacen('{', &format!("{{{fields},"), 1);
        let texts = [
            pretty.clone(),
            pretty.replace('\n', "\r\n").replace("  ", "\t"),
            format!("\r\n\t {compact} \n\n"),
            compact.replace("mediaType", "media\\u0054ype"),
            compact.replace('/', "\\/"),
            more(r#""x":{"y":[1e400,-0.0,null,true],"\u0000":"\ud83d\ude00"},"z":1,"z":2"#),
            more(r#""annotations":{"":"","ä/ö":"\u0000\u001f\u2028 \"\\ 😀","same":"1","same":"2"}"#),
        ];
        for (number, text) in texts.into_iter().enumerate() {
            let manifest = Manifest { payload: text.into(), ..image.clone() };
            let tag = format!("v{number}");
            let answer = repository.put(&tag, &manifest).await.expect(201);
            assert_eq!(answer.header("docker-content-digest"), Some(manifest.digest().to_string().as_str()));
            let get = repository.get(&tag).await.expect(200);
            assert_eq!((&get.body, get.header("content-type")), (&manifest.payload, Some(IMAGE)), "{tag}");
        }
    }
    .boxed()
}

fn sha512(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.image("sha512").await;
        let (short, long) = (image.digest(), image.sha512());
        let answer = repository.put(format!("{long}?tag=v1"), &image).await.expect(201);
        let place = format!("{}/v2/{NAME}/manifests/{long}", server.base_url());
        assert_eq!(answer.header("location"), Some(place.as_str()));
        let text = long.to_string();
        for reference in ["v1", &text] {
            let get = repository.get(reference).await.expect(200);
            assert_eq!(
                (&get.body, get.header("docker-content-digest")),
                (&image.payload, Some(text.as_str()))
            );
            assert_eq!(get.header("etag"), Some(format!("\"{long}\"").as_str()));
        }
        repository.get(short).await.refused(404, "MANIFEST_UNKNOWN");

        // An index names its children by whichever digest they are there by.
        let child = json!({ "mediaType": IMAGE, "digest": long, "size": image.payload.len() });
        let parent = index(&[child]);
        repository.put(parent.sha512(), &parent).await.expect(201);
        let other = index(&[image.descriptor()]);
        repository.put("index", &other).await.refused(404, "MANIFEST_BLOB_UNKNOWN");

        // By a tag the digest is the registry's choice, as clients compute it when they are not told.
        let answer = repository.put("v1", &image).await.expect(201);
        assert_eq!(answer.header("docker-content-digest"), Some(short.to_string().as_str()));
        repository.put("index", &other).await.expect(201);
        repository.delete(parent.sha512()).await.expect(202);
        repository.delete(long).await.expect(202);
        repository.get(long).await.refused(404, "MANIFEST_UNKNOWN");
        assert_eq!(repository.get("v1").await.expect(200).body, image.payload);
        assert_eq!(repository.get(short).await.expect(200).body, image.payload);
    }
    .boxed()
}
