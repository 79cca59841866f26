//! The service's HTTP face as a story speaks to it: plain requests, whole answers, nothing followed, and nothing repeated
//! but a body that goes to a store.

use bytes::Bytes;
use overside::db::Db;
use overside::domain::digest::Digest;
use overside::domain::hash::Hasher;
use overside::domain::upload::UploadId;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, LOCATION};
use reqwest::{Body, Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use super::Stack;

/// Headers that differ from one answer to the next, or with the length of a URL in the body; and those that all answers
/// have alike.
const VOLATILE: [&str; 6] = [
    "date",
    "x-request-id",
    "content-length",
    "overside-presigned-uploads",
    "x-content-type-options",
    "content-security-policy",
];

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// One repository of a running service.
#[derive(Debug, Clone)]
pub struct Repository {
    pub http: Client,
    /// `…/v2/NAME/blobs`
    blobs: String,
}

/// One upload session of a repository.
#[derive(Debug, Clone)]
pub struct Upload {
    pub http: Client,
    pub url: String,
}

impl Answer {
    pub async fn to(request: RequestBuilder) -> Self {
        Self::of(request.send().await.expect("the other side answers")).await
    }

    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.expect("a whole body") }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The answer, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The message of an error with this status and this code, in the OCI envelope and nothing else.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        let json = self.json();
        let errors = json["errors"].as_array().expect("the OCI envelope");
        assert_eq!((errors.len(), json.as_object().map(serde_json::Map::len)), (1, Some(1)), "{json}");
        assert_eq!(errors[0]["code"], code, "{json}");
        let message = errors[0]["message"].as_str().expect("a message");
        assert!(!message.is_empty(), "{json}");
        message.to_owned()
    }

    /// Status, headers and body for a snapshot: whatever two runs differ in is replaced by its kind.
    pub fn rendered(&self) -> String {
        let reason = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        let mut lines = Vec::new();
        for (name, value) in &self.headers {
            if !VOLATILE.contains(&name.as_str()) {
                lines.push(format!("{name}: {}", stable(value.to_str().expect("ASCII"))));
            }
        }
        lines.sort();
        lines.insert(0, format!("{} {}", self.status, reason.unwrap_or_default()));
        if !self.body.is_empty() {
            lines.push(match serde_json::from_slice(&self.body) {
                Ok(json) => serde_json::to_string_pretty(&settled(json)).expect("JSON"),
                Err(_) => self.text(),
            });
        }
        lines.join("\n")
    }
}

impl Repository {
    pub fn of(base_url: &str, name: &str) -> Self {
        Self { http: super::http(), blobs: format!("{base_url}/v2/{name}/blobs") }
    }

    /// Of `uploads/` or a digest.
    pub fn url(&self, below: impl std::fmt::Display) -> String {
        format!("{}/{below}", self.blobs)
    }

    pub async fn begin(&self) -> Upload {
        self.begin_with(&[]).await
    }

    pub async fn begin_with(&self, query: &[(&str, &str)]) -> Upload {
        let begun = self.http.post(self.url("uploads/")).query(query).header(CONTENT_LENGTH, 0);
        let begun = Answer::to(begun).await.expect(202);
        Upload { http: self.http.clone(), url: begun.header("location").expect("one").to_owned() }
    }

    /// The whole blob in one request, through the service.
    pub async fn push(&self, content: &[u8]) -> Digest {
        let digest = digest_of(content);
        let query = [("digest", digest.to_string())];
        let push = self.http.post(self.url("uploads/")).query(&query).body(content.to_vec());
        Answer::to(push).await.expect(201);
        digest
    }

    /// The blob, from wherever it is, after at most one redirect.
    pub async fn read(&self, digest: &Digest) -> Answer {
        let answer = Answer::to(self.http.get(self.url(digest))).await;
        match answer.headers.get(LOCATION) {
            Some(url) if answer.status == 307 => {
                Answer::to(self.http.get(url.to_str().expect("a URL"))).await.expect(200)
            }
            _ => answer,
        }
    }
}

impl Upload {
    pub fn id(&self) -> UploadId {
        self.url.rsplit('/').next().and_then(|id| id.parse().ok()).expect("a UUID at the end")
    }

    /// Asks for presigned URLs.
    pub async fn sign(&self, query: &[(&str, &str)]) -> Answer {
        Answer::to(self.http.get(&self.url).query(&[("presigned", "true")]).query(query)).await
    }

    /// One PUT of the whole content to its presigned URL.
    pub async fn put(&self, content: &[u8]) {
        let signed = self.sign(&[("size", &content.len().to_string())]).await.expect(200).json();
        assert!(send(&self.http, &signed, content.to_vec()).await.status < 300);
    }

    pub async fn patch(&self, range: Option<&str>, body: impl Into<Body>) -> Answer {
        let mut patch = self.http.patch(&self.url).body(body);
        if let Some(range) = range {
            patch = patch.header(CONTENT_RANGE, range);
        }
        Answer::to(patch).await
    }

    pub async fn finalize(&self, digest: &Digest) -> Answer {
        self.finalize_with(digest, Body::default()).await
    }

    pub async fn finalize_with(&self, digest: &Digest, body: impl Into<Body>) -> Answer {
        Answer::to(self.http.put(&self.url).query(&[("digest", digest.to_string())]).body(body)).await
    }

    /// The session as JSON.
    pub async fn state(&self) -> Answer {
        Answer::to(self.http.get(&self.url).header("accept", "application/json")).await
    }

    pub async fn abort(&self) -> Answer {
        Answer::to(self.http.delete(&self.url)).await
    }

    /// The session as the database has it.
    pub async fn row(&self, stack: &Stack) -> overside::domain::upload::Upload {
        let db = database(stack).await;
        let found = db.find_upload(self.id()).await.expect("the database answers");
        db.close().await;
        found.expect("the session has a row")
    }
}

/// The stack's database, past the service.
pub async fn database(stack: &Stack) -> Db {
    Db::connect(&stack.database.url(), 2).await.expect("the stack's database")
}

/// How often a body is sent to a store that hangs up instead of answering, which LocalStack does now and then under
/// load. Any client of a store would; our own server is given it once.
const SENDINGS: usize = 3;

/// Sends a body to a presigned URL with exactly the headers that came with it.
pub async fn send(http: &Client, signed: &Value, body: impl Into<Body>) -> Answer {
    let url = signed["presigned_url"].as_str().expect("a URL");
    let mut put = http.put(url).body(body);
    for (name, value) in signed["headers"].as_object().expect("headers") {
        put = put.header(name, value.as_str().expect("text"));
    }
    let is_stores = url.contains("X-Amz-Signature=");
    for _ in 1..if is_stores { SENDINGS } else { 1 } {
        let sent = put.try_clone().expect("a body that is held").send().await;
        if let Ok(response) = sent {
            return Answer::of(response).await;
        }
    }
    Answer::to(put).await
}

/// Sends the parts of a presigned multipart upload that `signed` names, and tells the ETags.
pub async fn send_parts(http: &Client, signed: &Value, content: &[u8]) -> Vec<Value> {
    let mut sent = Vec::new();
    for part in signed["parts"].as_array().expect("parts") {
        let number =
            |field: &str| usize::try_from(part[field].as_u64().expect(field)).expect("a small number");
        let (offset, size) = (number("offset"), number("size"));
        let stored = send(http, part, content[offset..offset + size].to_vec()).await.expect(200);
        let etag = stored.header("etag").expect("every part gets an ETag");
        sent.push(serde_json::json!({ "part_number": part["part_number"], "etag": etag }));
    }
    sent
}

pub fn digest_of(content: &[u8]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(content);
    hasher.finish()
}

/// Bytes that repeat nowhere near and are the same in every run.
pub fn content(length: usize) -> Vec<u8> {
    seeded_content(length as u64, length)
}

/// As [`content`], other bytes for each seed.
pub fn seeded_content(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    // xorshift64 (Marsaglia 2003), eight bytes a step: a generator of the `rand` crate is unoptimised in this one.
    let mut state = (seed ^ 0x9e37_79b9_7f4a_7c15).max(1);
    for chunk in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
    bytes
}

fn settled(json: Value) -> Value {
    match json {
        Value::String(text) => Value::String(stable(&text)),
        Value::Array(items) => items.into_iter().map(settled).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, settled(value))).collect(),
        other => other,
    }
}

fn stable(text: &str) -> String {
    if let Some(path) = text.strip_prefix("http://").and_then(|url| Some(url.split_once("/v2/")?.1)) {
        format!("<origin>{}", stable(&format!("/v2/{path}")))
    } else if text.starts_with("http://") {
        "<url>".to_owned()
    } else if chrono::DateTime::parse_from_rfc3339(text).is_ok() {
        "<time>".to_owned()
    } else {
        let segment =
            |part: &str| if part.parse::<UploadId>().is_ok() { "<uuid>".into() } else { part.to_owned() };
        text.split('/').map(segment).collect::<Vec<_>>().join("/")
    }
}
