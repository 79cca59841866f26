//! `POST` with `X-Redirect-Uploads: 2`: answered with the URL that takes the whole blob, bound to its bytes.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::Role;

use super::{PART, begin_whole, has_bucket};
use crate::stories::upkeep::quotas::usage;
use crate::support::api::{Answer, Repository, Upload, content, digest_of};
use crate::support::trial::Story;
use crate::support::{Accounts, Stack};

pub fn cases() -> Vec<Story> {
    vec![
        ("a_whole_blob_goes_to_the_bucket_with_the_headers_that_were_told", direct),
        ("a_blob_that_the_caller_may_read_is_not_sent_again", known),
        ("a_whole_blob_without_a_url_is_refused_in_words_where_it_is_sent", refused),
    ]
}

/// The whole blob, with the headers that go with it.
async fn put(repository: &Repository, begun: &Answer, bytes: &[u8]) -> u16 {
    let url = begun.header("x-direct-upload-url").expect("a URL");
    let mut put = repository.http.put(url).body(bytes.to_vec());
    for (name, value) in &begun.headers {
        if let Some(name) = name.as_str().strip_prefix("x-signed-header-") {
            put = put.header(name, value);
        }
    }
    Answer::to(put).await.status
}

fn upload(repository: &Repository, begun: &Answer) -> Upload {
    Upload { http: repository.http.clone(), url: begun.header("location").expect("one").to_owned() }
}

fn direct(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), "team/model");
        let bytes = content(PART);
        let digest = digest_of(&bytes);
        let begun = begin_whole(&repository, &digest.to_string(), bytes.len()).await.expect(202);
        let session = upload(&repository, &begun);
        if !has_bucket(&stack) {
            assert_eq!(begun.header("x-direct-upload-url"), None);
            session.patch(None, bytes.clone()).await.expect(202);
            session.finalize(&digest).await.expect(201);
            return;
        }
        assert!(begun.header("x-signed-header-x-amz-checksum-sha256").is_some());
        // A push that was killed goes on with its upload, and with the room that this one holds.
        let again = begin_whole(&repository, &digest.to_string(), bytes.len()).await.expect(202);
        assert_eq!(again.header("location"), begun.header("location"));
        assert_ne!(put(&repository, &begun, &content(PART + 1)[1..]).await, 200, "other bytes");
        assert_eq!(put(&repository, &begun, &bytes).await, 200);
        session.finalize(&digest).await.expect(201);
        assert!(repository.read(&digest).await.expect(200).body == bytes);
        // Not worth a connection more, too large for one request, of no length, or not wanted.
        let quiet = stack.server(&["--redirect-uploads", "off"]).await;
        let quiet = Repository::of(quiet.base_url(), "team/model");
        let other = digest_of(b"other").to_string();
        for (repository, size) in [(&repository, 1000), (&repository, 6 << 30), (&quiet, PART)] {
            let begun = begin_whole(repository, &other, size).await.expect(202);
            assert_eq!(begun.header("x-direct-upload-url"), None, "{size}");
            upload(repository, &begun).abort().await.expect(204);
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn known(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.guarded_server(&[]).await;
        let accounts = Accounts::of(&stack).await;
        for project in ["team", "secret"] {
            accounts.project(project, false).await;
        }
        let login = accounts.user_as("dev", "team", Role::Developer).await;
        let owner = accounts.user_as("owner", "secret", Role::Developer).await;
        let of = |name: &str, login: &crate::support::Login| {
            let mut repository = Repository::of(server.base_url(), name);
            let mut headers = reqwest::header::HeaderMap::new();
            let signed = login.sign(repository.http.get(server.base_url())).build().expect("a request");
            headers.extend(signed.headers().clone());
            repository.http = crate::support::http_with(|builder| builder.default_headers(headers));
            repository
        };
        let (own, elsewhere) = (of("team/model", &login), of("team/other", &login));
        let there = own.push(b"a template").await;
        let hidden = of("secret/model", &owner).push(b"nobody else's").await;
        let again = begin_whole(&own, &there.to_string(), 10).await.expect(201);
        assert_eq!(again.header("docker-content-digest"), Some(there.to_string().as_str()));
        begin_whole(&elsewhere, &there.to_string(), 10).await.expect(201);
        assert!(elsewhere.read(&there).await.expect(200).body == b"a template"[..]);
        let [hidden, absent] = [hidden, digest_of(b"no such thing")].map(|digest| digest.to_string());
        let answers = [
            begin_whole(&own, &hidden, 10).await.expect(202).rendered(),
            begin_whole(&own, &absent, 10).await.expect(202).rendered(),
        ];
        assert_eq!(answers[0], answers[1]);
    }
    .boxed()
}

fn refused(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--max-blob-size", "20000000"]).await;
        stack.database.limit("full", [1000, -1]).await;
        for (name, size, status, code) in
            [("full/model", PART, 403, "DENIED"), ("team/model", 4 * PART, 413, "SIZE_INVALID")]
        {
            let repository = Repository::of(server.base_url(), name);
            let bytes = content(size);
            let begun = begin_whole(&repository, &digest_of(&bytes).to_string(), size).await.expect(202);
            assert_eq!(begun.header("x-direct-upload-url"), None);
            let session = upload(&repository, &begun);
            session.patch(Some(&format!("0-{}", size - 1)), bytes).await.refused(status, code);
            session.abort().await.expect(204);
        }
        assert_eq!(usage(&stack, "full").await, [0; 3]);
    }
    .boxed()
}
