//! The same blob in chunks through the service, which is stopped, killed and started again between them.

use std::sync::Arc;

use overside::domain::blob::Proof;
use reqwest::header::CONTENT_LENGTH;
use reqwest::header::CONTENT_RANGE;

use super::content::Content;
use super::{STREAMING_LIMIT, TERMINATE_LIMIT, assert_published, assert_small, enough};
use crate::support::Stack;
use crate::support::api::{Answer, Repository, Upload};

const NAME: &str = "team/large";

pub async fn story(stack: Arc<Stack>) {
    let content = Content { size: enough(&stack) };
    // A quarter each, and odd: no chunk ends where a part does, so each but the last leaves a tail behind.
    let ends = [content.size / 4 + 1, content.size / 2 + 12_345, content.size / 4 * 3 - 777, content.size];
    let digest = content.digest().await;

    let mut server = stack.server(&[]).await;
    let begun = Repository::of(server.base_url(), NAME).begin().await;
    let mut offset = 0;
    for (index, end) in ends.into_iter().enumerate() {
        let upload = on(server.base_url(), &begun);
        assert_eq!(upload.state().await.expect(200).json()["received_offset"].as_u64().unwrap_or(0), offset);
        let patch = upload.http.patch(&upload.url).header(CONTENT_RANGE, format!("{offset}-{}", end - 1));
        let patch = patch.header(CONTENT_LENGTH, end - offset).body(content.body(offset, end));
        let taken = Answer::to(patch).await.expect(202);
        assert_eq!(taken.header("range"), Some(format!("0-{}", end - 1).as_str()));
        assert_small(&server, STREAMING_LIMIT);
        offset = end;
        if index == 1 {
            server.kill9();
        } else {
            let ended = server.terminate(TERMINATE_LIMIT).await.expect("nothing is in flight");
            assert_eq!(ended.code(), Some(0));
        }
        server = stack.server(&[]).await;
    }

    let upload = on(server.base_url(), &begun);
    upload.finalize(&digest).await.expect(201);
    let repository = Repository::of(server.base_url(), NAME);
    assert_published(&stack, &repository, content, digest, Proof::Streamed).await;
    assert_small(&server, STREAMING_LIMIT);
}

/// The same session at another replica.
fn on(base_url: &str, begun: &Upload) -> Upload {
    let path = begun.url.find("/v2/").map(|at| &begun.url[at..]).expect("a path");
    Upload { http: crate::support::http(), url: format!("{base_url}{path}") }
}
