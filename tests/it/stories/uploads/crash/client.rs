//! A client whose server may die at any moment: how far it got, and how it goes on at another replica.

use std::time::{Duration, Instant};

use overside::domain::clock::Clock;
use overside::domain::digest::Digest;
use reqwest::{Body, RequestBuilder};
use serde_json::Value;

use crate::support::Stack;
use crate::support::api::{self, Answer, Repository, Upload};
use crate::support::process::Server;

/// Where the three chunks of a chunked upload begin, and its end. On S3 with parts of 5 MiB: a tail; then that
/// tail taken in, a part and another tail; then only a longer tail.
const OFFSETS: [usize; 4] = [0, 70_000, 5_320_000, 5_325_000];
/// A part of 5 MiB and a short one.
const MULTIPART_SIZE: usize = 5_300_000;
const PUT_SIZE: usize = 70_000;
/// More than what passes the service all the same.
const REDIRECTED_SIZE: usize = 1_100_000;
/// For a lease of a dead replica to run out, on a busy machine.
const RECOVERY_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);
const NAME: &str = "team/crash";

/// How the bytes come, and so what finalize has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Without a digest: finalize reads the bytes back.
    Put,
    /// The store has refused every other digest already.
    DeclaredPut,
    Multipart,
    /// Two `PATCH` and a `PUT` with the end.
    Chunked,
    /// The bytes are other ones than finalize is told.
    WrongPut,
    /// Finalize is not told what they are.
    UntoldPut,
    UntoldMultipart,
    /// As a stock client that follows a redirect: it looks for the blob, and nobody finalizes.
    Redirected,
}

/// One upload.
#[derive(Debug)]
pub struct Session {
    pub operation: Operation,
    pub content: Vec<u8>,
    /// What finalize is asked for.
    pub digest: Digest,
    /// At the replica that lives.
    upload: Upload,
}

/// What was acknowledged before the server died: all of it must be found again.
#[derive(Debug, Default)]
pub struct Progress {
    is_put: bool,
    parts: Vec<u64>,
    offset: usize,
    pub finalized: Option<u16>,
}

impl Session {
    /// Begins an upload of its own content: no two numbers share any.
    pub async fn begin(operation: Operation, survivor: &Server, number: usize) -> Self {
        let size = match operation {
            Operation::Put | Operation::DeclaredPut | Operation::WrongPut | Operation::UntoldPut => PUT_SIZE,
            Operation::Multipart | Operation::UntoldMultipart => MULTIPART_SIZE,
            Operation::Redirected => REDIRECTED_SIZE,
            Operation::Chunked => OFFSETS[3],
        };
        let content = api::content(size + number);
        let digest = match operation {
            Operation::WrongPut => api::digest_of(&content[1..]),
            _ => api::digest_of(&content),
        };
        let upload = Repository::of(survivor.base_url(), NAME).begin().await;
        Self { operation, content, digest, upload }
    }

    /// What the audit log has of it once it is completed: operation and resource.
    pub fn audited(&self) -> (String, String) {
        ("push".to_owned(), format!("{NAME}@{}", self.digest))
    }

    /// The whole upload at a server that may die under it.
    pub async fn attempt(&self, server: &Server) -> Progress {
        let path = &self.upload.url[self.upload.url.find("/v2/").expect("a path")..];
        let upload = Upload { http: self.upload.http.clone(), url: format!("{}{path}", server.base_url()) };
        let mut progress = Progress::default();
        self.advance(&upload, &mut progress).await;
        progress
    }

    async fn advance(&self, upload: &Upload, progress: &mut Progress) -> Option<()> {
        let mut rest = Vec::new();
        match self.operation {
            Operation::Put | Operation::DeclaredPut | Operation::WrongPut | Operation::UntoldPut => {
                let signed = succeeded(self.sign(upload)).await?.json();
                succeeded(presigned(upload, &signed, self.content.clone())).await?;
                progress.is_put = true;
            }
            Operation::Multipart | Operation::UntoldMultipart => {
                let signed = succeeded(self.sign(upload)).await?.json();
                for part in signed["parts"].as_array()? {
                    succeeded(presigned(upload, part, self.part(part))).await?;
                    progress.parts.push(part["part_number"].as_u64()?);
                }
            }
            Operation::Chunked => {
                for (from, to) in [(OFFSETS[0], OFFSETS[1]), (OFFSETS[1], OFFSETS[2])] {
                    let patch = upload.http.patch(&upload.url).body(self.content[from..to].to_vec());
                    succeeded(patch).await?;
                    progress.offset = to;
                }
                rest = self.content[OFFSETS[2]..].to_vec();
            }
            Operation::Redirected => {
                self.send_redirected(upload).await?;
                progress.is_put = true;
                let base = upload.url.split("/uploads/").next()?;
                let found = answered(upload.http.head(format!("{base}/{}", self.digest))).await?;
                progress.finalized = Some(if found.status == 200 { 201 } else { found.status });
                return Some(());
            }
        }
        let finalized = answered(self.finalize(upload).body(rest)).await?;
        progress.finalized = Some(finalized.status);
        Some(())
    }

    /// Waits until nothing is left to do behind the answer, for as long as `goes_on`.
    pub async fn settled(&self, stack: &Stack, goes_on: impl Fn() -> bool) {
        let database = api::database(stack).await;
        let deadline = Instant::now() + RECOVERY_LIMIT;
        while goes_on() {
            let undone = database.undiscarded_uploads(Clock::System.now(), u32::MAX, 0).await;
            let is_undone = undone.expect("the database answers").contains(&self.upload.id());
            let is_held = database.holds_blob(self.upload.id()).await.expect("the database answers");
            if !is_undone && !is_held {
                break;
            }
            assert!(Instant::now() < deadline, "still to be done: {}", self.upload.state().await.text());
            tokio::time::sleep(POLL).await;
        }
        database.close().await;
    }

    /// What finalize answers when nothing goes wrong.
    pub fn verdict(&self) -> u16 {
        if self.operation == Operation::WrongPut { 400 } else { 201 }
    }

    /// I1: readable exactly when the session is complete, and then with the right bytes. Both can change while
    /// this looks, but only one way.
    pub async fn check_readable(&self, stack: &Stack) {
        let was_completed = self.status().await == "completed";
        // What a URL still writes to is on its way to its place, which takes until the dead replica's claim runs out.
        let is_readable = match self.head().await {
            503 => self.operation == Operation::DeclaredPut,
            status => status == 200,
        };
        let is_completed = self.status().await == "completed";
        assert!(is_readable || !was_completed, "completed, but not readable");
        assert!(is_completed || !is_readable, "readable before it was completed");
        let placed = stack.store.blob_hash(&self.digest).await;
        assert!(
            placed.is_none_or(|placed| placed == self.digest),
            "{placed:?} was placed as {}",
            self.digest
        );
    }

    /// Goes on at the replica that lives, as any client would: asks how far it got, sends the rest, finalizes.
    pub async fn recover(&self, progress: &Progress) {
        let deadline = Instant::now() + RECOVERY_LIMIT;
        while !self.send_rest(progress).await {
            assert!(Instant::now() < deadline, "still held: {}", self.upload.state().await.text());
            tokio::time::sleep(POLL).await;
        }
        let finalized = Answer::to(self.finalize(&self.upload)).await;
        if self.operation == Operation::WrongPut {
            finalized.refused(400, "DIGEST_INVALID");
            assert_eq!((self.status().await.as_str(), self.head().await), ("failed", 404));
        } else {
            let finalized = finalized.expect(201);
            assert_eq!(finalized.header("docker-content-digest"), Some(self.digest.to_string().as_str()));
        }
    }

    pub async fn check_completed(&self, stack: &Stack, survivor: &Server) {
        assert_eq!(self.status().await, "completed");
        let read = Repository::of(survivor.base_url(), NAME).read(&self.digest).await.expect(200);
        assert!(read.body == self.content, "what is read is not what was sent");
        assert_eq!(stack.store.blob_hash(&self.digest).await, Some(self.digest));
    }

    /// Sends what has not arrived; false when the dead server's lease still stands in the way.
    async fn send_rest(&self, progress: &Progress) -> bool {
        let state = self.upload.state().await.expect(200).json();
        if !matches!(state["status"].as_str(), Some("pending" | "uploading")) {
            return true;
        }
        match self.operation {
            Operation::Put | Operation::DeclaredPut | Operation::WrongPut | Operation::UntoldPut => {
                if !progress.is_put {
                    let signed = Answer::to(self.sign(&self.upload)).await.expect(200).json();
                    Answer::to(presigned(&self.upload, &signed, self.content.clone())).await.expect(200);
                }
            }
            Operation::Redirected => {
                if !progress.is_put {
                    self.send_redirected(&self.upload).await.expect("whoever lives redirects it");
                }
            }
            Operation::Multipart | Operation::UntoldMultipart => {
                let signed = Answer::to(self.sign(&self.upload)).await.expect(200).json();
                let received = signed["received"].as_array().expect("what has arrived");
                for part in &progress.parts {
                    assert!(received.iter().any(|received| received["part_number"] == *part), "{signed}");
                }
                for part in signed["parts"].as_array().expect("what has not") {
                    Answer::to(presigned(&self.upload, part, self.part(part))).await.expect(200);
                }
            }
            Operation::Chunked => {
                let offset = state["received_offset"].as_u64().unwrap_or_default();
                let offset = usize::try_from(offset).expect("a small offset");
                let total = self.content.len();
                let told = OFFSETS[..3].contains(&offset) || offset == total;
                assert!(told && offset >= progress.offset, "{state}, but {progress:?}");
                if offset < total {
                    let range = format!("{offset}-{}", total - 1);
                    let patched = self.upload.patch(Some(&range), self.content[offset..].to_vec()).await;
                    // 416 when a statement that the dead server sent was executed since the offset was told.
                    assert!(matches!(patched.status, 202 | 409 | 416), "{}", patched.text());
                    return patched.status == 202;
                }
            }
        }
        true
    }

    /// The PUT of the whole blob, and again where it is redirected to.
    async fn send_redirected(&self, upload: &Upload) -> Option<()> {
        let query = [("digest", self.digest.to_string())];
        let put = |url: &str| {
            let put = upload.http.put(url).header("user-agent", "containerd/2.2.0");
            put.header("content-type", "application/octet-stream").body(self.content.clone())
        };
        let redirected = answered(put(&upload.url).query(&query)).await?;
        let url = redirected.header("location").filter(|_| redirected.status == 307)?;
        succeeded(put(url)).await.map(drop)
    }

    fn sign(&self, upload: &Upload) -> RequestBuilder {
        let (size, digest) = (self.content.len().to_string(), self.digest.to_string());
        let mut query = vec![("presigned", "true"), ("size", size.as_str())];
        match self.operation {
            Operation::DeclaredPut => query.push(("digest", &digest)),
            Operation::Multipart | Operation::UntoldMultipart => query.push(("mode", "multipart")),
            _ => {}
        }
        upload.http.get(&upload.url).query(&query)
    }

    fn finalize(&self, upload: &Upload) -> RequestBuilder {
        let digest = self.digest.to_string();
        let query = match self.operation {
            Operation::UntoldPut | Operation::UntoldMultipart => ("digest-algorithm", "sha256"),
            _ => ("digest", digest.as_str()),
        };
        upload.http.put(&upload.url).query(&[query])
    }

    fn part(&self, signed: &Value) -> Vec<u8> {
        let number = |field: &str| usize::try_from(signed[field].as_u64().expect(field)).expect("small");
        self.content[number("offset")..][..number("size")].to_vec()
    }

    async fn status(&self) -> String {
        let state = self.upload.state().await.expect(200).json();
        state["status"].as_str().expect("a status").to_owned()
    }

    async fn head(&self) -> u16 {
        let base = self.upload.url.split("/uploads/").next().expect("a base");
        Answer::to(self.upload.http.head(format!("{base}/{}", self.digest))).await.status
    }
}

fn presigned(upload: &Upload, signed: &Value, body: impl Into<Body>) -> RequestBuilder {
    let mut put = upload.http.put(signed["presigned_url"].as_str().expect("a URL")).body(body);
    for (name, value) in signed["headers"].as_object().expect("headers") {
        put = put.header(name, value.as_str().expect("text"));
    }
    put
}

/// A whole answer, unless whoever should give it has died.
async fn answered(request: RequestBuilder) -> Option<Answer> {
    let response = request.send().await.ok()?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Some(Answer { status, headers, body: response.bytes().await.ok()? })
}

async fn succeeded(request: RequestBuilder) -> Option<Answer> {
    answered(request).await.filter(|answer| answer.status < 300)
}
