//! Registries, and what stands before them, that say less than the specification has them say, or say it differently.

use axum::Router;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LINK};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use overside_protocol::digest::Digest;

use super::server::{digest_of, repository_at};
use crate::Repository;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const BLOB: &[u8] = b"a layer";

/// What it answers by itself; the rest is as the specification has it.
type Quirk = fn(&Method, &str) -> Option<Response>;

/// The repository of a registry with the tags `v1` and `v2` of one manifest, which has one blob.
async fn registry(quirk: Quirk) -> Repository {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(async move |request: Request| {
        let at = request.uri().path_and_query().unwrap().as_str().to_owned();
        quirk(request.method(), &at).unwrap_or_else(|| plain(&at))
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    repository_at(&base)
}

fn manifest() -> String {
    let layer = format!(r#"{{"mediaType":"application/x","digest":"{}","size":7}}"#, digest_of(BLOB));
    format!(r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{layer},"layers":[{layer}]}}"#)
}

fn plain(at: &str) -> Response {
    let manifest = manifest();
    let last = at.rsplit('/').next().unwrap();
    if last == digest_of(BLOB).to_string() {
        BLOB.into_response()
    } else if ["v1", "v2", &digest_of(manifest.as_bytes()).to_string()].contains(&last) {
        ([(CONTENT_TYPE, IMAGE)], manifest).into_response()
    } else if last.starts_with("list") {
        r#"{"name":"team/app","tags":["v1","v2"]}"#.into_response()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

#[tokio::test]
async fn where_a_head_says_nothing_the_get_does() {
    let quirks: [Quirk; 4] = [
        |method, _| (method == Method::HEAD).then(|| StatusCode::BAD_REQUEST.into_response()),
        |method, _| (method == Method::HEAD).then(|| StatusCode::FORBIDDEN.into_response()),
        |method, _| (method == Method::HEAD).then(|| StatusCode::METHOD_NOT_ALLOWED.into_response()),
        |method, _| (method == Method::HEAD).then(|| StatusCode::NOT_IMPLEMENTED.into_response()),
    ];
    for quirk in quirks {
        let repository = registry(quirk).await;
        let [tag, other] = ["v1", "v9"].map(|tag| tag.parse().unwrap());
        let found = repository.resolve(&tag).await.unwrap().unwrap();
        assert_eq!(found.digest, digest_of(manifest().as_bytes()));
        assert_eq!(repository.resolve(&other).await.unwrap(), None);
        assert_eq!(repository.blob_size(&digest_of(BLOB)).await.unwrap(), Some(7));
        assert_eq!(repository.blob_size(&Digest::EMPTY).await.unwrap(), None);
        let pushed = overside_protocol::reference::Reference::Digest(found.digest);
        assert_eq!(repository.resolve_pushed(&pushed).await.unwrap(), Some(found));
    }
    // Of one that is served to nobody who pushes it is not said either, and it is pushed.
    let repository =
        registry(|_, at| at.contains("manifests").then(|| StatusCode::FORBIDDEN.into_response())).await;
    let pushed = overside_protocol::reference::Reference::Digest(Digest::EMPTY);
    assert_eq!(repository.resolve_pushed(&pushed).await.unwrap(), None);
    // What a tag means has to be known before it comes to mean something else.
    let tag = "v1".parse().unwrap();
    assert!(repository.resolve_pushed(&tag).await.is_err());
}

#[tokio::test]
async fn a_manifest_that_is_served_as_a_file_is_what_it_says() {
    let quirks: [Quirk; 3] = [
        |_, _| Some(([(CONTENT_TYPE, "application/json")], manifest()).into_response()),
        |_, _| Some(([(CONTENT_TYPE, "text/plain; charset=utf-8")], manifest()).into_response()),
        |_, _| Some(([(CONTENT_TYPE, "application/octet-stream")], manifest()).into_response()),
    ];
    for quirk in quirks {
        let found = registry(quirk).await.manifest(&"v1".parse().unwrap()).await;
        assert_eq!(found.unwrap().unwrap().descriptor.media_type.as_str(), IMAGE);
    }
    // One that says to be another manifest than it is, is not taken.
    let quirk: Quirk = |_, _| {
        let other = "application/vnd.oci.image.index.v1+json";
        Some(([(CONTENT_TYPE, other)], manifest()).into_response())
    };
    assert!(registry(quirk).await.manifest(&"v1".parse().unwrap()).await.is_err());
}

#[tokio::test]
async fn the_next_page_is_found_however_the_link_is_written() {
    const NEXT: &str = "/v2/team/app/model/tags/list?last=v1";
    for (link, form) in [
        (format!("<{NEXT}>; rel=\"next\""), "as specified"),
        (format!("<{NEXT}>;REL=Next"), "a token"),
        (format!("<{NEXT}>; title=\"x, y; z\"; rel=\"next\"; type=\"a\""), "other parameters"),
        (format!("<{NEXT}>; rel=\"next last\""), "several relations"),
        (format!("</v2/first,1>; rel=\"first\", <{NEXT}>; rel=\"next\""), "several links"),
        (format!("{NEXT}; rel=\"next\""), "no brackets"),
        ("<?last=v1>; rel=\"next\"".to_owned(), "relative"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(async move |request: Request| {
            if request.uri().query().is_some_and(|query| query.contains("last=v1")) {
                return r#"{"tags":["v2"]}"#.into_response();
            }
            ([(LINK, link)], r#"{"tags":["v1"]}"#).into_response()
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        assert_eq!(repository_at(&base).tags().await.unwrap().unwrap(), ["v1", "v2"], "{form}");
    }
}

#[tokio::test]
async fn a_list_of_nothing_may_be_null() {
    let repository = registry(|_, at| {
        let nothing = match at {
            at if at.contains("_catalog") => r#"{"repositories":null}"#,
            at if at.contains("/referrers/") => r#"{"schemaVersion":2,"manifests":null}"#,
            _ => r#"{"name":"team/app","tags":null}"#,
        };
        Some(nothing.into_response())
    })
    .await;
    assert_eq!(repository.registry().catalog().await.unwrap(), Vec::<String>::new());
    assert_eq!(repository.tags().await.unwrap().unwrap(), Vec::<String>::new());
    assert_eq!(repository.referrers(&Digest::EMPTY, None).await.unwrap(), []);
}

#[tokio::test]
async fn where_no_referrers_are_known_the_list_under_the_tag_is_read() {
    let quirks: [Quirk; 5] = [
        |_, at| at.contains("/referrers/").then(|| StatusCode::NOT_FOUND.into_response()),
        |_, at| at.contains("/referrers/").then(|| StatusCode::BAD_REQUEST.into_response()),
        |_, at| at.contains("/referrers/").then(|| StatusCode::METHOD_NOT_ALLOWED.into_response()),
        |_, at| at.contains("/referrers/").then(|| StatusCode::NOT_ACCEPTABLE.into_response()),
        |_, at| {
            let nothing = [(CONTENT_LENGTH, "0")];
            at.contains("/referrers/").then(|| (StatusCode::NOT_IMPLEMENTED, nothing).into_response())
        },
    ];
    for quirk in quirks {
        assert_eq!(registry(quirk).await.referrers(&Digest::EMPTY, None).await.unwrap(), []);
    }
    let denied: Quirk = |_, _| Some(StatusCode::FORBIDDEN.into_response());
    assert!(registry(denied).await.referrers(&Digest::EMPTY, None).await.is_err());
}
