//! What an administrator sets while the service runs: it holds on all replicas within a second, and who meets a limit
//! is told when to come back.

mod replicas;
mod requests;
mod sessions;
mod settings;
mod slots;

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Client};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::api::{Answer, Repository, Upload};
use crate::support::process::Server;
use crate::support::trial::Story;

const NAME: &str = "team/app/model";
/// Replicas read the settings every 400 ms; on a machine that does other things as well that takes as long as it takes.
const HELD_WITHIN: Duration = Duration::from_secs(15);
/// For what has been set to be known everywhere, where nothing shows when it is.
const TAKEN_UP: Duration = Duration::from_secs(2);
/// For replicas to know of each other: each looks every five seconds.
const COUNTED_WITHIN: Duration = Duration::from_secs(7);
const POLL: Duration = Duration::from_millis(20);

pub fn cases() -> Vec<Story> {
    [settings::cases(), slots::cases(), replicas::cases(), requests::cases(), sessions::cases()].concat()
}

async fn set(http: &Client, server: &Server, settings: Value) {
    let url = format!("{}/api/v2.0/configurations", server.base_url());
    Answer::to(http.put(url).json(&settings)).await.expect(200);
}

async fn unset(http: &Client, server: &Server, name: &str) {
    set(http, server, json!({ name: null })).await;
}

/// That a limit was met, and when to come back.
#[track_caller]
fn refusal(answer: &Answer) {
    let message = answer.refused(429, "TOOMANYREQUESTS");
    let seconds = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("Retry-After");
    assert!((1..=60).contains(&seconds) && message.contains("too many"), "{seconds}: {message}");
}

/// Asks until the answer has this status; how long that took.
async fn until<F: Future<Output = Answer>>(status: u16, limit: Duration, ask: impl Fn() -> F) -> Duration {
    let begun = Instant::now();
    loop {
        let asked = begun.elapsed();
        let answer = ask().await;
        if answer.status == status {
            return asked;
        }
        assert!(asked < limit, "{} after {asked:?} instead of {status}: {}", answer.status, answer.text());
        tokio::time::sleep(POLL).await;
    }
}

/// A chunk whose sender has stopped in the middle.
struct Stalled {
    upload: Upload,
    sender: mpsc::Sender<std::io::Result<Bytes>>,
    answer: JoinHandle<Option<Answer>>,
}

impl Stalled {
    async fn begin(repository: &Repository) -> Self {
        let stalled = Self::send(repository.begin().await).await;
        assert!(stalled.is_under_way().await, "it was refused");
        stalled
    }

    async fn send(upload: Upload) -> Self {
        let (sender, receiver) = mpsc::channel(4);
        let body = stream::unfold(receiver, |mut receiver: mpsc::Receiver<std::io::Result<Bytes>>| async {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        let patch = upload.http.patch(&upload.url).body(Body::wrap_stream(body));
        let answer = tokio::spawn(async move {
            let response = patch.send().await.ok()?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Some(Answer { status, headers, body: response.bytes().await.ok()? })
        });
        // Nobody takes it where the request was refused.
        let _ = sender.send(Ok(Bytes::from_static(b"0123456789"))).await;
        Self { upload, sender, answer }
    }

    /// Waits until it has the append's lease: the slot comes before that. False when it was refused.
    async fn is_under_way(&self) -> bool {
        let begun = Instant::now();
        while self.upload.state().await.json()["status"] != "uploading" {
            if self.answer.is_finished() {
                return false;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "the chunk is not under way");
            tokio::time::sleep(POLL).await;
        }
        true
    }

    /// Sends the rest, and tells the answer.
    async fn finish(self) -> Answer {
        drop(self.sender);
        self.answer.await.expect("a task").expect("an answer")
    }

    /// Hangs up.
    fn break_off(self) {
        self.answer.abort();
    }
}
