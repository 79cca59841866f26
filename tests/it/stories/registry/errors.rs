//! What every answer of the registry has, whatever was asked.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::digest::Digest;
use reqwest::Method;

use super::NAME;
use crate::support::Stack;
use crate::support::api::{Answer, Repository};
use crate::support::image::index;
use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_method_that_an_endpoint_of_the_registry_does_not_take_is_405_with_those_it_does", methods),
        ("every_answer_says_which_registry_this_is_and_every_error_is_in_the_envelope", envelope),
        ("a_head_is_a_get_without_its_body", heads),
    ]
}

fn methods(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let list = index(&[]);
        repository.put("v1", &list).await.expect(201);
        let manifest = "GET, HEAD, PUT, DELETE";
        let cases: [(String, &str, &[&str]); 6] = [
            (repository.at("manifests/v1"), manifest, &["POST", "PATCH", "OPTIONS", "BREW"]),
            (repository.at(&format!("manifests/{}", list.digest())), manifest, &["POST", "PATCH"]),
            (repository.at("manifests/.INVALID"), manifest, &["POST", "PATCH"]),
            (repository.at("tags/list"), "GET, HEAD", &["POST", "PUT", "PATCH", "DELETE"]),
            (repository.at(&format!("referrers/{}", list.digest())), "GET, HEAD", &["POST", "PUT", "DELETE"]),
            (repository.root("/v2/_catalog"), "GET, HEAD", &["POST", "PUT", "PATCH", "DELETE"]),
        ];
        for (url, allowed, methods) in cases {
            for method in methods {
                let method: Method = method.parse().expect("a method");
                let answer = Answer::to(repository.http.request(method.clone(), &url)).await;
                answer.refused(405, "UNSUPPORTED");
                assert_eq!(answer.header("allow"), Some(allowed), "{method} {url}");
                assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
            }
        }
        assert_eq!(repository.get("v1").await.expect(200).body, list.payload);
    }
    .boxed()
}

fn envelope(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let (list, empty) = (index(&[]), Digest::EMPTY);
        repository.put("v1", &list).await.expect(201);
        let paths = [
            "/v2".to_owned(),
            "/v2/".to_owned(),
            "/v2/_catalog".to_owned(),
            "/v2/_catalog?n=x".to_owned(),
            "/v2/_other".to_owned(),
            "/v2//".to_owned(),
            "/v2/%FF".to_owned(),
            format!("/v2/{NAME}"),
            format!("/v2/{NAME}/"),
            format!("/v2/{NAME}/manifests"),
            format!("/v2/{NAME}/manifests/"),
            format!("/v2/{NAME}/manifests/v1"),
            format!("/v2/{NAME}/manifests/v2"),
            format!("/v2/{NAME}/manifests/v1/"),
            format!("/v2/{NAME}/manifests/a:b"),
            format!("/v2/{NAME}/manifests/{empty}"),
            format!("/v2/{NAME}/blobs/{empty}"),
            format!("/v2/{NAME}/blobs/v1"),
            format!("/v2/{NAME}/blobs/uploads/"),
            format!("/v2/{NAME}/blobs/uploads/unknown"),
            format!("/v2/{NAME}/tags"),
            format!("/v2/{NAME}/tags/"),
            format!("/v2/{NAME}/tags/list"),
            format!("/v2/{NAME}/tags/list/"),
            format!("/v2/{NAME}/tags/list?n=x"),
            format!("/v2/{NAME}/tags/other"),
            format!("/v2/{NAME}/referrers/{empty}"),
            format!("/v2/{NAME}/referrers/v1"),
            format!("/v2/{NAME}/referrers/{empty}?artifactType=x"),
            format!("/v2/{}/tags/list", "UPPER"),
            format!("/v2/{}/tags/list", "a".repeat(256)),
            format!("/v2/{}/manifests/v1", "a/".repeat(200)),
        ];
        for path in paths {
            for method in ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"] {
                if method == "DELETE" && path.ends_with("/manifests/v1") {
                    continue;
                }
                let method: Method = method.parse().expect("a method");
                let answer =
                    Answer::to(repository.http.request(method.clone(), repository.root(&path))).await;
                let version = answer.header("docker-distribution-api-version");
                assert_eq!(version, Some("registry/2.0"), "{method} {path}");
                assert!(answer.status < 500, "{method} {path}: {}", answer.status);
                if answer.status >= 400 && method != Method::HEAD {
                    assert_eq!(answer.header("content-type"), Some("application/json"), "{method} {path}");
                    let errors = answer.json()["errors"].as_array().cloned().expect("the envelope");
                    let is_said =
                        |error: &serde_json::Value| error["code"].is_string() && error["message"].is_string();
                    assert!(!errors.is_empty() && errors.iter().all(is_said), "{method} {path}");
                }
            }
        }
    }
    .boxed()
}

fn heads(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let list = index(&[]);
        repository.put("v1", &list).await.expect(201);
        for url in [
            repository.root("/v2/"),
            repository.root("/v2/_catalog"),
            repository.at("tags/list"),
            repository.at("manifests/v1"),
            repository.at("manifests/v2"),
            repository.at(&format!("referrers/{}", list.digest())),
        ] {
            let get = Answer::to(repository.http.get(&url)).await;
            let head = Answer::to(repository.http.head(&url)).await;
            assert_eq!((head.status, head.body.len()), (get.status, 0), "{url}");
            let length = get.body.len().to_string();
            for (name, expected) in
                [("content-type", get.header("content-type")), ("content-length", Some(&length))]
            {
                assert_eq!(head.header(name), expected, "{url}");
            }
        }
    }
    .boxed()
}
