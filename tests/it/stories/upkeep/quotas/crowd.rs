//! More than fit, at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::RequestBuilder;
use reqwest::header::CONTENT_LENGTH;

use super::{PROJECT, careful, short, usage, with_digest};
use crate::support::Stack;
use crate::support::api::{self, Answer, Repository, content, digest_of};

const PUSHES: usize = 200;
const ROOM: u32 = 50;
/// One content for each, all of one length.
const LENGTH: u32 = 10_000;
const LIMIT: u32 = ROOM * LENGTH;
/// What a client does that is told to come back.
const AGAIN: Duration = Duration::from_millis(200);

/// How one push ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Stored,
    /// Before a byte of it moved.
    Refused(String),
}

pub async fn two_hundred(stack: Arc<Stack>) {
    let replicas = [stack.server(&[]).await, stack.server(&[]).await];
    stack.database.limit(PROJECT, [i64::from(LIMIT), -1]).await;
    let pushes = (0..PUSHES).map(|number| {
        let base = replicas[number % 2].base_url().to_owned();
        // Ten repositories, four ways, two replicas: each with each.
        let repository = Repository::of(&base, &format!("{PROJECT}/{}", number / 8 % 10));
        tokio::spawn(async move { push(&repository, number).await })
    });
    let mut stored = 0;
    for outcome in join_all(pushes).await {
        match outcome.expect("a push") {
            Outcome::Stored => stored += 1,
            Outcome::Refused(message) => {
                assert_eq!(
                    message,
                    short(LENGTH.into(), 0, LIMIT.into()),
                    "there is never less room than for one"
                );
            }
        }
    }
    assert_eq!(stored, ROOM);
    assert_eq!(usage(&stack, PROJECT).await, [u64::from(LIMIT), 0, 0]);
    let objects = stack.objects().await;
    assert_eq!(objects.len(), ROOM as usize);
    assert_eq!(objects.iter().map(|(_, size)| *size).sum::<u64>(), u64::from(LIMIT));
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new(), "of the others nothing has come");
}

fn numbered(number: usize) -> Vec<u8> {
    let mut bytes = content(LENGTH as usize);
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    bytes
}

async fn push(repository: &Repository, number: usize) -> Outcome {
    let (bytes, size) = (numbered(number), LENGTH.to_string());
    let digest = digest_of(&bytes);
    match number / 2 % 4 {
        // Begun and signed at once.
        0 => {
            let query = [("presigned", "true"), ("size", &size)];
            let signed = patient(|| Answer::to(post(repository).query(&query))).await;
            if signed.status == 403 {
                return Outcome::Refused(signed.refused(403, "DENIED"));
            }
            let upload = begun(repository, &signed);
            assert!(api::send(&upload.http, &signed.json(), bytes.clone()).await.status < 300);
            patient(|| upload.finalize(&digest)).await.expect(201);
        }
        // Begun, then signed in parts.
        1 => {
            let upload = begun(repository, &patient(|| Answer::to(post(repository))).await);
            let query = [("size", size.as_str()), ("mode", "multipart")];
            let signed = patient(|| upload.sign(&query)).await;
            if signed.status == 403 {
                return Outcome::Refused(signed.refused(403, "DENIED"));
            }
            api::send_parts(&upload.http, &signed.expect(200).json(), &bytes).await;
            patient(|| upload.finalize(&digest)).await.expect(201);
        }
        // In one request.
        2 => {
            let url = with_digest(&repository.url("uploads/"), &digest);
            loop {
                let pushed = careful("POST", &url, &bytes).await;
                match pushed.status() {
                    201 => return Outcome::Stored,
                    503 => tokio::time::sleep(AGAIN).await,
                    _ => return Outcome::Refused(pushed.refused()),
                }
            }
        }
        // A chunk, then nothing more.
        _ => {
            let upload = begun(repository, &patient(|| Answer::to(post(repository))).await);
            loop {
                let chunk = careful("PATCH", &upload.url, &bytes).await;
                match chunk.status() {
                    202 => break,
                    503 => tokio::time::sleep(AGAIN).await,
                    _ => return Outcome::Refused(chunk.refused()),
                }
            }
            patient(|| upload.finalize(&digest)).await.expect(201);
        }
    }
    Outcome::Stored
}

fn post(repository: &Repository) -> RequestBuilder {
    repository.http.post(repository.url("uploads/")).header(CONTENT_LENGTH, 0)
}

fn begun(repository: &Repository, answer: &Answer) -> api::Upload {
    assert_eq!(answer.status, 202, "{}", answer.text());
    let url = answer.header("location").expect("one").to_owned();
    api::Upload { http: repository.http.clone(), url }
}

/// Asks again while the service says that it is busy, as its answer asks for.
async fn patient<F: Future<Output = Answer>>(ask: impl Fn() -> F) -> Answer {
    loop {
        let answer = ask().await;
        if answer.status != 503 {
            return answer;
        }
        tokio::time::sleep(AGAIN).await;
    }
}
