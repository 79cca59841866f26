//! Downloads that pass the service instead of being sent to the bucket.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use reqwest::header::{AUTHORIZATION, USER_AGENT};

use super::NAME;
use crate::support::api::{Answer, Repository, content, digest_of};
use crate::support::trial::{Story, not_here};
use crate::support::{FaultProxy, Stack, Store, http_with};

const CRANE: &str = "crane/v0.22.1 go-containerregistry/v0.22.1";
/// More than lies in buffers anywhere on the way.
const LARGE: usize = 48 << 20;

pub fn cases() -> Vec<Story> {
    vec![
        ("no_download_is_sent_away_where_none_is_to_be", never),
        ("clients_that_would_not_follow_to_the_bucket_are_served_here", some),
        ("a_download_goes_on_where_its_connection_to_the_store_breaks", broken),
    ]
}

/// Asks as a client that goes wherever it is sent, or says where that is.
async fn get(repository: &Repository, digest: impl std::fmt::Display, headers: &[(&str, &str)]) -> Answer {
    let client = http_with(|builder| builder.redirect(reqwest::redirect::Policy::none()));
    let get = client.get(repository.url(digest));
    Answer::to(headers.iter().fold(get, |get, (name, value)| get.header(*name, *value))).await
}

fn never(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--redirect-downloads", "never"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(3 << 20);
        let digest = repository.push(&bytes).await;
        let whole = get(&repository, digest, &[]).await.expect(200);
        assert!(whole.body == bytes);
        assert_eq!(whole.header("content-length"), Some("3145728"));
        assert_eq!(whole.header("docker-content-digest"), Some(digest.to_string().as_str()));
        for (range, expected) in
            [("bytes=0-9", 0..10), ("bytes=1048576-", 1 << 20..3 << 20), ("bytes=-1", (3 << 20) - 1..3 << 20)]
        {
            let part = get(&repository, digest, &[("range", range)]).await.expect(206);
            assert!(part.body == bytes[expected.clone()], "{range}");
            let said = format!("bytes {}-{}/3145728", expected.start, expected.end - 1);
            assert_eq!(part.header("content-range"), Some(said.as_str()));
        }
        get(&repository, digest, &[("range", "bytes=3145728-")]).await.expect(416);
        let empty = repository.push(b"").await;
        assert_eq!(get(&repository, empty, &[]).await.expect(200).body.len(), 0);
        // Nobody was asked whether it is there: the read itself notices.
        stack.store.lose(&digest).await;
        get(&repository, digest, &[]).await.refused(404, "BLOB_UNKNOWN");
        get(&repository, digest_of(b"never"), &[]).await.refused(404, "BLOB_UNKNOWN");
    }
    .boxed()
}

fn some(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::S3 { .. } = &stack.store else { not_here("a folder has nowhere to send anybody") };
        let server =
            stack.server(&["--no-redirect-for", "podman/,192.0.2.0/24", "--trust-forwarded-for"]).await;
        // The bucket is at 127.0.0.1, and the service under a name.
        let named = server.base_url().replace("127.0.0.1", "localhost");
        let (by_name, by_address) = (Repository::of(&named, NAME), Repository::of(server.base_url(), NAME));
        let digest = by_name.push(b"bytes").await;
        for (repository, headers, status) in [
            (&by_name, vec![(USER_AGENT.as_str(), CRANE)], 200),
            // From one address to the same one it goes.
            (&by_address, vec![(USER_AGENT.as_str(), CRANE)], 307),
            (&by_name, vec![(USER_AGENT.as_str(), "docker/29.1.0")], 307),
            (&by_name, vec![(USER_AGENT.as_str(), "containers/5 podman/5.2")], 200),
            (&by_name, vec![("x-forwarded-for", "192.0.2.9")], 200),
            (&by_name, vec![("x-forwarded-for", "198.51.100.1"), (AUTHORIZATION.as_str(), "Bearer x")], 307),
        ] {
            let answer = get(repository, digest, &headers).await.expect(status);
            assert!(status != 200 || answer.body.as_ref() == b"bytes");
        }
        let server = stack.server(&["--no-redirect-for", "podman/", "--redirect-downloads", "always"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        get(&repository, digest, &[(USER_AGENT.as_str(), "podman/5")]).await.expect(307);
    }
    .boxed()
}

fn broken(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::S3 { endpoint, .. } = &stack.store else { not_here("there is no connection to a folder") };
        let proxy = FaultProxy::in_front_of(endpoint).await;
        let flags = ["--s3-endpoint", proxy.url().as_str(), "--s3-public-endpoint", endpoint.as_str()];
        let server = stack.server(&[&flags[..], &["--redirect-downloads", "never"]].concat()).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(LARGE);
        let digest = repository.push(&bytes).await;
        let answer = repository.http.get(repository.url(digest)).send().await.expect("answer");
        assert_eq!(answer.status(), 200);
        let (mut read, mut body, mut cuts) = (Vec::new(), answer.bytes_stream(), 0);
        while let Some(piece) = body.next().await {
            read.extend_from_slice(&piece.expect("it goes on"));
            // Once at the beginning, and once later.
            if cuts < 1 + read.len() / (LARGE / 2) {
                proxy.cut();
                cuts += 1;
            }
        }
        assert!(read == bytes, "{} of {LARGE} bytes", read.len());
        assert_eq!(cuts, 3);
    }
    .boxed()
}
