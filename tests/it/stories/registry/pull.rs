//! `GET` and `HEAD …/manifests/{reference}`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use reqwest::Method;
use reqwest::header::IF_NONE_MATCH;

use super::NAME;
use crate::support::api::{Answer, Repository, digest_of};
use crate::support::image::{IMAGE, Manifest};
use crate::support::trial::Story;
use crate::support::{Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![
        ("a_manifest_is_read_by_tag_and_by_digest_byte_by_byte", read),
        ("a_manifest_that_a_client_has_is_not_sent_again", cached),
        ("what_is_not_there_is_404_whatever_it_is_asked_for_by", absent),
        ("what_is_no_digest_is_400", malformed),
    ]
}

fn read(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        // Nothing in it that differs from run to run, so that the snapshot can show its digest.
        let image = repository.image("read").await;
        let payload = [b"\n", image.payload.as_ref(), b"\n\n"].concat();
        let image = Manifest { payload: payload.into(), ..image };
        repository.put("v1", &image).await.expect(201);
        let digest = image.digest().to_string();
        let length = image.payload.len().to_string();
        for reference in ["v1", &digest, &digest.replace(':', "%3A")] {
            let head = repository.head(reference).await;
            assert_answer!(head.rendered(), @r#"
            200 OK
            content-type: application/vnd.oci.image.manifest.v1+json
            docker-content-digest: sha256:b0f028ce38040887d77f97abe995e8c7e73a4e10ee6ba70d573d8b329d9f1428
            docker-distribution-api-version: registry/2.0
            etag: "sha256:b0f028ce38040887d77f97abe995e8c7e73a4e10ee6ba70d573d8b329d9f1428"
            "#);
            assert_eq!((head.header("content-length"), head.body.len()), (Some(length.as_str()), 0));
            let get = repository.get(reference).await.expect(200);
            assert_eq!(get.body, image.payload, "{reference}");
            for header in ["content-type", "content-length", "docker-content-digest", "etag"] {
                assert_eq!(get.header(header), head.header(header), "{reference}");
            }
        }
        // As old and new clients ask: what is there is sent as what it is.
        for accept in ["*/*", IMAGE, "application/vnd.docker.distribution.manifest.v1+json"] {
            let get = repository.manifest(Method::GET, "v1").header("accept", accept);
            assert_eq!(Answer::to(get).await.expect(200).body, image.payload, "{accept}");
        }
    }
    .boxed()
}

fn cached(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.tagged("v1").await;
        let digest = image.digest().to_string();
        let other = digest_of(b"another");
        let asked = async |method: Method, reference: &str, etags: &[String]| {
            let mut request = repository.manifest(method, reference);
            for etag in etags {
                request = request.header(IF_NONE_MATCH, etag);
            }
            Answer::to(request).await
        };
        let etag = format!("\"{digest}\"");
        let knows = [
            vec![etag.clone()],
            vec![format!("W/{etag}")],
            vec!["*".to_owned()],
            vec![format!("\"{other}\", {etag}")],
            vec![format!("\"{other}\""), etag.clone()],
        ];
        for etags in &knows {
            for reference in ["v1", &digest] {
                for method in [Method::GET, Method::HEAD] {
                    let answer = asked(method, reference, etags).await;
                    assert_eq!(answer.body.len(), 0);
                    assert_answer!(answer.rendered(), @r#"
                    304 Not Modified
                    content-type: application/vnd.oci.image.manifest.v1+json
                    docker-content-digest: sha256:19f9cda866b6f051bc4e85329aa8aca9a2149505bc0771ed70da64b16783aff1
                    docker-distribution-api-version: registry/2.0
                    etag: "sha256:19f9cda866b6f051bc4e85329aa8aca9a2149505bc0771ed70da64b16783aff1"
                    "#);
                }
            }
        }
        for etag in [format!("\"{other}\""), "\"v1\"".to_owned(), String::new()] {
            let answer = asked(Method::GET, "v1", &[etag]).await.expect(200);
            assert_eq!(answer.body, image.payload);
        }
        // The tag means something else now.
        let moved = repository.image("moved").await;
        repository.put("v1", &moved).await.expect(201);
        let answer = asked(Method::GET, "v1", &[etag]).await.expect(200);
        assert_eq!(answer.body, moved.payload);
        // Knowing it does not bring it back.
        repository.delete(&digest).await.expect(202);
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(asked(method, &digest, &["*".to_owned()]).await.status, 404);
        }
    }
    .boxed()
}

fn absent(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.tagged("v1").await;
        let known = image.digest().to_string();
        let other = digest_of(b"another").to_string();
        let long = "a".repeat(129);
        let strange = [".INVALID_MANIFEST_NAME", "-v1", "v%201", "v1%0A", "v1@x", "%C3%A4", &long];
        for reference in ["v2", "V1", "v", &other].into_iter().chain(strange) {
            repository.get(reference).await.refused(404, "MANIFEST_UNKNOWN");
            let head = repository.head(reference).await;
            assert_eq!((head.status, head.body.len()), (404, 0), "{reference}");
            repository.delete(reference).await.refused(404, "MANIFEST_UNKNOWN");
        }
        // Neither the tag nor the digest is known elsewhere, and a blob is no manifest.
        for name in ["team/app", "team/app/model/more", "other"] {
            let elsewhere = Repository::of(server.base_url(), name);
            for reference in ["v1", &known] {
                elsewhere.get(reference).await.refused(404, "MANIFEST_UNKNOWN");
                assert_eq!(elsewhere.head(reference).await.status, 404);
            }
        }
        let layer = digest_of(b"the layer of v1");
        repository.head_blob(&layer).await.expect(200);
        repository.get(layer).await.refused(404, "MANIFEST_UNKNOWN");
        repository.read(&image.digest()).await.refused(404, "BLOB_UNKNOWN");
        repository.get("v1").await.expect(200);
    }
    .boxed()
}

fn malformed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.tagged("v1").await;
        let digest = image.digest();
        let short = format!("sha512:{}", digest.hex());
        let upper = format!("sha256:{}", digest.hex().to_uppercase());
        let unknown = format!("md5:{}", &digest.hex()[..32]);
        for reference in ["sha256:totallywrong", "sha256:", ":", "v1:", &short, &upper, &unknown] {
            for method in [Method::GET, Method::PUT, Method::DELETE] {
                let request = repository.manifest(method, reference).body(image.payload.clone());
                Answer::to(request).await.refused(400, "DIGEST_INVALID");
            }
            assert_eq!(repository.head(reference).await.status, 400, "{reference}");
        }
        let upper_case = Repository::of(server.base_url(), "team/App");
        upper_case.get("v1").await.refused(400, "NAME_INVALID");
        upper_case.put("v1", &image).await.refused(400, "NAME_INVALID");
    }
    .boxed()
}
