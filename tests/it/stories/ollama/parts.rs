//! `PATCH` with `X-Redirect-Uploads: 1`: answered with where the part goes, and the end with how many there are.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::Role;
use reqwest::header::{CONTENT_RANGE, RANGE, USER_AGENT};
use serde_json::json;
use url::Url;

use super::{PART, begin, has_bucket};
use crate::stories::upkeep::quotas::usage;
use crate::support::api::{Answer, Repository, Upload, content, digest_of};
use crate::support::trial::Story;
use crate::support::{Accounts, FaultProxy, Stack};

const AGENT: &str = "ollama/0.33.0 (amd64 linux) Go/go1.26.0";

pub fn cases() -> Vec<Story> {
    vec![
        ("each_part_goes_to_its_place_in_the_bucket", together),
        ("a_part_that_is_missing_is_named_and_sent_after_all", missing),
        ("parts_of_other_bytes_are_refused_and_leave_nothing", wrong),
        ("a_part_that_is_cut_otherwise_is_refused", uneven),
        ("what_is_not_worth_it_comes_through_the_service", through),
        ("a_part_beyond_the_projects_room_is_refused", beyond),
        ("a_pull_is_told_where_the_bytes_are_without_signing_in", pulled),
        ("a_name_in_upper_case_is_refused_in_words", upper),
    ]
}

/// Bytes `start..start + length`, asked for as Ollama does: it is sending them already.
async fn ask(upload: &Upload, bytes: &[u8], start: usize, length: usize) -> Answer {
    let range = format!("{start}-{}", start + length - 1);
    let patch = upload.http.patch(&upload.url).header(CONTENT_RANGE, range).header("X-Redirect-Uploads", "1");
    let patch = patch.header("content-type", "application/octet-stream");
    Answer::to(patch.body(Bytes::copy_from_slice(&bytes[start..start + length]))).await
}

fn place(answer: &Answer) -> &str {
    assert_eq!(answer.status, 307, "{}", answer.text());
    answer.header("location").expect("a URL")
}

async fn send(upload: &Upload, url: &str, bytes: &[u8]) -> u16 {
    let put = upload.http.put(url).header("content-type", "application/octet-stream").body(bytes.to_vec());
    Answer::to(put).await.status
}

async fn end(upload: &Upload, content: &[u8], parts: usize) -> Answer {
    let etag = format!("0123456789abcdef0123456789abcdef-{parts}");
    let query = [("digest", digest_of(content).to_string()), ("etag", etag)];
    Answer::to(upload.http.put(&upload.url).query(&query).header("content-length", 0)).await
}

fn part_number(url: &str) -> String {
    let url = Url::parse(url).expect("a URL");
    let number = url.query_pairs().find(|(name, _)| name == "partNumber");
    number.expect("a part's URL").1.into_owned()
}

fn together(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let line = FaultProxy::in_front_of(&Url::parse(server.base_url()).expect("a URL")).await;
        let repository = Repository::of(line.url().as_str().trim_end_matches('/'), "team/model");
        let bytes = content(2 * PART + 17);
        let cuts = [(0, PART), (PART, PART), (2 * PART, 17)];
        let upload = begin(&repository).await;
        if !has_bucket(&stack) {
            for (start, length) in cuts {
                let kept = ask(&upload, &bytes, start, length).await.expect(202);
                assert_eq!(kept.header("location"), Some(upload.url.as_str()));
            }
            end(&upload, &bytes, 3).await.expect(201);
            assert!(repository.read(&digest_of(&bytes)).await.expect(200).body == bytes);
            return;
        }
        let mut places = Vec::new();
        for (number, (start, length)) in cuts.into_iter().enumerate() {
            let told = ask(&upload, &bytes, start, length).await;
            assert_eq!(told.header("docker-upload-location"), Some(upload.url.as_str()));
            assert_eq!(part_number(place(&told)), (number + 1).to_string());
            assert!(place(&told).contains("X-Amz-Expires=86400"), "good for as long as the upload");
            // Whoever did not hear the answer is told the same.
            let again = ask(&upload, &bytes, start, length).await;
            assert_eq!(part_number(place(&again)), part_number(place(&told)));
            places.push((place(&told).to_owned(), &bytes[start..start + length]));
        }
        assert_eq!(send(&upload, &places[1].0, &bytes[..PART - 1]).await, 403, "the length is signed");
        for (url, part) in places.iter().rev() {
            assert_eq!(send(&upload, url, part).await, 200);
        }
        // A part that failed, as its sender sees it, is sent to the same URL.
        assert_eq!(send(&upload, &places[1].0, places[1].1).await, 200);
        end(&upload, &bytes, 3).await.expect(201);
        end(&upload, &bytes, 3).await.expect(201);
        // The URLs live on, and write nothing any more.
        assert_ne!(send(&upload, &places[0].0, &bytes[PART..2 * PART]).await, 200);
        assert!(repository.read(&digest_of(&bytes)).await.expect(200).body == bytes);
        assert_eq!(stack.blob_hash(&digest_of(&bytes)).await, Some(digest_of(&bytes)));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        assert_eq!(usage(&stack, "team").await, [bytes.len() as u64, 0, 0]);
    }
    .boxed()
}

fn missing(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        if !has_bucket(&stack) {
            return;
        }
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), "team/model");
        let bytes = content(2 * PART + 17);
        let upload = begin(&repository).await;
        let first = ask(&upload, &bytes, 0, PART).await;
        assert_eq!(send(&upload, place(&first), &bytes[..PART]).await, 200);
        let second = ask(&upload, &bytes, PART, PART).await;
        // Two would be all that anybody has asked for.
        let message = end(&upload, &bytes, 3).await.refused(400, "BLOB_UPLOAD_INVALID");
        assert!(message.contains("part 2, 3"), "{message}");
        assert_eq!(send(&upload, place(&second), &bytes[PART..2 * PART]).await, 200);
        let message = end(&upload, &bytes, 3).await.refused(400, "BLOB_UPLOAD_INVALID");
        assert!(message.contains("part 3;"), "{message}");
        let third = ask(&upload, &bytes, 2 * PART, 17).await;
        let message = end(&upload, &bytes, 3).await.refused(400, "BLOB_UPLOAD_INVALID");
        assert!(message.contains("part 3;"), "{message}");
        assert_eq!(send(&upload, place(&third), &bytes[2 * PART..]).await, 200);
        end(&upload, &bytes, 3).await.expect(201);
        assert!(repository.read(&digest_of(&bytes)).await.expect(200).body == bytes);
    }
    .boxed()
}

fn wrong(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        if !has_bucket(&stack) {
            return;
        }
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), "team/model");
        let bytes = content(PART + 17);
        let upload = begin(&repository).await;
        for (start, length) in [(0, PART), (PART, 17)] {
            let told = ask(&upload, &bytes, start, length).await;
            assert_eq!(send(&upload, place(&told), &bytes[start..start + length]).await, 200);
        }
        end(&upload, b"something else", 2).await.refused(400, "DIGEST_INVALID");
        Answer::to(repository.http.get(repository.url(digest_of(&bytes)))).await.expect(404);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        assert_eq!((stack.objects().await.len(), usage(&stack, "team").await), (0, [0; 3]));
    }
    .boxed()
}

fn uneven(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), "team/model");
        let bytes = content(3 * PART);
        // Nobody knows which part this is.
        let upload = begin(&repository).await;
        ask(&upload, &bytes, PART, PART).await.refused(416, "BLOB_UPLOAD_INVALID");
        if !has_bucket(&stack) {
            return;
        }
        place(&ask(&upload, &bytes, 0, PART).await);
        for (start, length) in [(0, PART + 1), (0, PART - 1), (1, PART), (PART - 1, 1), (PART, PART + 1)] {
            let message = ask(&upload, &bytes, start, length).await.refused(400, "SIZE_INVALID");
            assert!(message.contains("have 5242880 bytes"), "{message}");
        }
        // A short one is the last.
        place(&ask(&upload, &bytes, PART, 17).await);
        let message = ask(&upload, &bytes, PART, 16).await.refused(400, "SIZE_INVALID");
        assert!(message.contains("as they were cut"), "{message}");
        // Who is in parts stays there.
        let chunk = upload.patch(Some("0-4"), "bytes").await;
        chunk.refused(400, "BLOB_UPLOAD_INVALID");
        upload.abort().await.expect(204);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn through(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), "team/model");
        let bytes = content(2 * PART);
        // No store takes so short a part before another one.
        let upload = begin(&repository).await;
        ask(&upload, &bytes, 0, PART - 1).await.expect(202);
        // What has begun to come through the service goes on so.
        ask(&upload, &bytes, PART - 1, PART).await.expect(202);
        end(&upload, &bytes[..2 * PART - 1], 2).await.expect(201);
        // Nobody is redirected who does not ask for it.
        let upload = begin(&repository).await;
        let first = bytes[..PART].to_vec();
        upload.patch(Some(&format!("0-{}", PART - 1)), first).await.expect(202);
        ask(&upload, &bytes, PART, PART).await.expect(202);
        end(&upload, &bytes, 2).await.expect(201);
        let quiet = stack.server(&["--redirect-uploads", "off"]).await;
        let upload = begin(&Repository::of(quiet.base_url(), "team/model")).await;
        ask(&upload, &bytes, 0, PART).await.expect(202);
        upload.abort().await.expect(204);
        // An empty one has no parts.
        let upload = begin(&repository).await;
        end(&upload, b"", 0).await.expect(201);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn beyond(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), "full/model");
        let limit = i64::try_from(PART).expect("a small number") + 5;
        stack.database.limit("full", [limit, -1]).await;
        let bytes = content(2 * PART);
        let upload = begin(&repository).await;
        let first = ask(&upload, &bytes, 0, PART).await;
        assert_eq!(first.status, if has_bucket(&stack) { 307 } else { 202 });
        let message = ask(&upload, &bytes, PART, PART).await.refused(403, "DENIED");
        assert!(message.contains("full"), "{message}");
        assert_eq!(usage(&stack, "full").await, [0, PART as u64, 0], "what was refused takes no room");
        upload.abort().await.expect(204);
        assert_eq!(usage(&stack, "full").await, [0; 3]);
    }
    .boxed()
}

fn pulled(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (open, guarded) = (stack.server(&[]).await, stack.guarded_server(&[]).await);
        let bytes = content(70_000);
        let digest = Repository::of(open.base_url(), "team/model").push(&bytes).await;
        let accounts = Accounts::of(&stack).await;
        accounts.project("team", false).await;
        let guest = accounts.user_as("guest", "team", Role::Guest).await;
        for (server, login) in [(&open, None), (&guarded, Some(&guest))] {
            let repository = Repository::of(server.base_url(), "team/model");
            let get = |agent: &'static str| {
                let get = repository.http.get(repository.url(digest)).header(USER_AGENT, agent);
                Answer::to(match login {
                    Some(login) => login.sign(get),
                    None => get,
                })
            };
            let told = get(AGENT).await.expect(if has_bucket(&stack) { 307 } else { 200 });
            let url = told.header("location").expect("a URL").to_owned();
            if has_bucket(&stack) {
                assert!(url.contains("X-Amz-Expires=14400"), "{url}");
            } else {
                assert!(url.starts_with(server.base_url()), "{url}");
                assert_eq!(get("something/1.0").await.expect(200).header("location"), None);
            }
            for (range, part) in [("bytes=0-9", &bytes[..10]), ("bytes=60000-69999", &bytes[60_000..])] {
                let part_of = Answer::to(repository.http.get(&url).header(RANGE, range)).await.expect(206);
                assert!(part_of.body == part);
            }
        }
    }
    .boxed()
}

fn upper(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), "team/Model");
        let message = Answer::to(repository.http.post(repository.url("uploads/"))).await;
        let message = message.refused(400, "NAME_INVALID");
        assert!(message.contains("a-z"), "{message}");
        assert_eq!(json!(stack.objects().await), json!([]));
    }
    .boxed()
}
