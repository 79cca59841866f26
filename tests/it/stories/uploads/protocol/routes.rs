//! What is no endpoint, and endpoints that are asked the wrong way.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::digest::Digest;
use reqwest::Method;

use super::NAME;
use crate::support::Stack;
use crate::support::api::{Answer, Repository};
use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    vec![
        ("the_base_says_which_registry_this_is", base),
        ("what_is_no_endpoint_is_404_in_the_envelope", unknown),
        ("a_method_that_an_endpoint_does_not_take_is_405_with_those_it_does", methods),
    ]
}

fn base(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let http = crate::support::http();
        for path in ["/v2/", "/v2"] {
            let answer = Answer::to(http.get(format!("{}{path}", server.base_url()))).await.expect(200);
            assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"), "{path}");
            // By this clients know that they may ask for URLs.
            assert_eq!(answer.header("overside-presigned-uploads"), Some("1"), "{path}");
            assert_eq!(answer.text(), "{}", "{path}");
        }
    }
    .boxed()
}

fn unknown(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let http = crate::support::http();
        for path in
            ["/v1/", "/v3/x", "/v2/team", "/v2/team/app/blobs", "/v2/blobs/uploads/", "/signed", "/V2/"]
        {
            for method in [Method::GET, Method::POST, Method::PUT] {
                let url = format!("{}{path}", server.base_url());
                let answer = Answer::to(http.request(method, url)).await;
                answer.refused(404, "UNSUPPORTED");
                let version = path.starts_with("/v2/").then_some("registry/2.0");
                assert_eq!(answer.header("docker-distribution-api-version"), version, "{path}");
            }
        }
    }
    .boxed()
}

fn methods(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let at = |path: &str| format!("{}{path}", server.base_url());
        let blob = at(&format!("/v2/{NAME}/blobs/{}", Digest::EMPTY));
        let signed = at(&format!("/signed/{}", upload.id()));
        let cases: [(String, &str, &[&str]); 7] = [
            (at("/v2/"), "GET, HEAD", &["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
            (at(&format!("/v2/{NAME}/blobs/uploads/")), "POST", &["GET", "PUT", "PATCH", "DELETE"]),
            (upload.url.clone(), "GET, HEAD, PATCH, PUT, DELETE", &["POST", "BREW"]),
            (blob, "GET, HEAD, DELETE", &["POST", "PUT", "PATCH"]),
            (signed.clone(), "PUT", &["GET", "POST", "DELETE"]),
            (format!("{signed}/1"), "PUT", &["GET", "POST", "DELETE"]),
            (at("/healthz"), "GET, HEAD", &["POST", "DELETE"]),
        ];
        for (url, allowed, methods) in cases {
            for method in methods {
                let method: Method = method.parse().expect("a method");
                let answer = Answer::to(upload.http.request(method.clone(), &url)).await;
                let allow = answer.header("allow").unwrap_or_default().replace(", ", ",");
                assert_eq!((answer.status, allow), (405, allowed.replace(", ", ",")), "{method} {url}");
                if method != Method::HEAD {
                    answer.refused(405, "UNSUPPORTED");
                }
            }
        }
        assert_eq!(upload.state().await.expect(200).json()["status"], "pending");
    }
    .boxed()
}
