//! Server and store in one, on loopback: answers the protocol from memory, and fails as it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt};
use overside_protocol::digest::Digest;
use overside_protocol::hash::Hasher;
use overside_protocol::name::RepositoryName;
use overside_protocol::part::{PartNumber, PartPlan, PartRange};
use overside_protocol::range::RangeRequest;
use overside_protocol::upload::UploadId;
use overside_protocol::wire::PRESIGNS;
use serde_json::json;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::{Event, Progress, Registry, Repository, RetryPolicy};

/// What the next request of a kind gets instead of an answer.
#[derive(Debug, Clone)]
pub enum Fault {
    Status(u16, &'static str),
    /// A refusal, because the session's status is now this one.
    Moved(u16, &'static str),
    /// The bytes are not those of the digest.
    Wrong,
    /// A finalize that goes on for so many looks at it, and whose own request is never answered.
    Slow(u64),
    RetryAfter(&'static str),
    /// The connection ends without an answer.
    Break,
    /// A download's body ends after so many bytes.
    Cut(usize),
    /// A download whose `Range` is ignored.
    Whole,
}

#[derive(Debug, Default)]
pub struct World {
    pub base: String,
    /// Zero: one PUT.
    pub part_size: u64,
    pub id: Option<UploadId>,
    pub size: u64,
    pub status: &'static str,
    pub parts: BTreeMap<u16, Bytes>,
    pub whole: Option<Bytes>,
    pub blob: Option<Bytes>,
    /// `METHOD path?query`, in order; parts as `PUT part N`.
    pub log: Vec<String>,
    /// Looks at a finalize before it is over, where it is to end by itself.
    pub looks: Option<u64>,
    /// Body of the last finalize.
    pub finalize_body: String,
    pub put_faults: VecDeque<Fault>,
    pub finalize_faults: VecDeque<Fault>,
    pub get_faults: VecDeque<Fault>,
    /// Signatures made so far; a URL carries its number.
    pub signatures: u64,
    /// Seconds until a URL expires, as the client is told.
    pub url_lifetime: i64,
    /// The store calls parts by their MD5; else by their path.
    pub names_by_md5: bool,
    /// A server that gives no URL with the `POST`.
    pub signs_by_get: bool,
    pub refuses_mounts: bool,
    /// URLs with a lower number are refused.
    pub oldest_signature: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Server(Arc<Mutex<World>>);

pub fn name() -> RepositoryName {
    "team/app/model".parse().unwrap()
}

/// The repository of a registry that listens there.
pub fn repository_at(base: &str) -> Repository {
    Registry::builder(base).build().unwrap().repository(name())
}

pub fn digest_of(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// Statuses of refusals, and how long was waited after each.
pub type Shown = Arc<Mutex<Vec<(Option<u16>, Duration)>>>;

/// The statuses of refusals after which something is tried again, and after how long, as they are shown.
pub fn shown_retries() -> (Shown, Progress) {
    let shown = Shown::default();
    let seen = Arc::clone(&shown);
    let progress = Progress::new(move |_, event| {
        if let Event::Retrying { error, after } = event {
            let status = error.refusal().map(|refusal| refusal.status.as_u16());
            seen.lock().unwrap_or_else(PoisonError::into_inner).push((status, after));
        }
    });
    (shown, progress)
}

/// Bytes without a period that a swapped or repeated part could hide in.
pub fn content(length: usize) -> Vec<u8> {
    (0..length as u64).map(|index| (index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

impl Server {
    pub async fn start() -> Self {
        let server = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        {
            let mut world = server.world();
            world.base = format!("http://{}", listener.local_addr().unwrap());
            world.status = "pending";
            world.url_lifetime = 3600;
        }
        let presigns = SetResponseHeaderLayer::overriding(
            HeaderName::from_static(PRESIGNS),
            HeaderValue::from_static("1"),
        );
        let router = Router::new().fallback(answer).with_state(server.clone()).layer(presigns);
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its repository, for a client that does not wait long.
    pub fn repository(&self) -> Repository {
        let (first_delay, longest_delay) = (Duration::from_millis(2), Duration::from_millis(10));
        let policy = RetryPolicy { attempts: 6, first_delay, longest_delay };
        let base = self.world().base.clone();
        Registry::builder(base).retry_policy(policy).build().unwrap().repository(name())
    }

    pub fn count(&self, prefix: &str) -> usize {
        self.world().log.iter().filter(|line| line.starts_with(prefix)).count()
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    if head.method == Method::PUT && server.world().is_slow() {
        return std::future::pending().await;
    }
    respond(&server, &head, body)
}

fn respond(server: &Server, head: &Parts, body: Bytes) -> Response {
    let path = head.uri.path().to_owned();
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let mut world = server.world();
    let header =
        |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(target) = path.strip_prefix("/store/") {
        assert_eq!(header("transfer-encoding"), "", "a signed PUT goes out with its length");
        assert_eq!(header("content-length"), body.len().to_string());
        assert_eq!((header("authorization"), header("x-amz-checksum-crc32")), ("", "yes"));
        return world.store(target, &query, body);
    }
    world.log.push(format!("{} {path}?{}", head.method, head.uri.query().unwrap_or_default()));
    match (head.method.clone(), path.starts_with("/v2/team/app/model/blobs/uploads/")) {
        (Method::POST, true) if query.get("digest") == Some(&Digest::EMPTY.to_string()) => {
            StatusCode::CREATED.into_response()
        }
        (Method::POST, true) if world.refuses_mounts && query.contains_key("mount") => refuse(403, "DENIED"),
        (Method::POST, true) => {
            let id = UploadId::generate();
            (world.id, world.status) = (Some(id), "pending");
            world.parts.clear();
            let signed = if world.signs_by_get || !query.contains_key("presigned") {
                ().into_response()
            } else {
                world.presign(&query)
            };
            (StatusCode::ACCEPTED, [("docker-upload-uuid", id.to_string())], signed).into_response()
        }
        (_, true) if world.id.is_none_or(|id| !path.ends_with(&id.to_string())) => {
            refuse(404, "BLOB_UPLOAD_UNKNOWN")
        }
        (Method::GET, true) if query.contains_key("presigned") => world.presign(&query),
        (Method::GET, true) => world.state(),
        (Method::PUT, true) => world.finalize(&query, &body),
        (Method::DELETE, true) => {
            world.status = "aborted";
            StatusCode::NO_CONTENT.into_response()
        }
        (Method::HEAD, false) => match &world.blob {
            Some(blob) => [("content-length", blob.len().to_string())].into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        (Method::GET, false) if path.starts_with("/v2/") => {
            let location = format!("{}/signed-get?signature={}", world.base, world.log.len());
            (StatusCode::TEMPORARY_REDIRECT, [("location", location)]).into_response()
        }
        _ => world.download(header("range")),
    }
}

fn refuse(status: u16, code: &str) -> Response {
    let body = json!({"errors": [{"code": code, "message": "as told"}]});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn fail(world: &mut World, fault: &Fault) -> Response {
    match fault {
        Fault::Moved(code, status) => {
            world.status = status;
            refuse(*code, "DENIED")
        }
        Fault::Wrong => {
            world.status = "failed";
            refuse(400, "DIGEST_INVALID")
        }
        Fault::Status(status, code) => refuse(*status, code),
        Fault::RetryAfter(value) => {
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", *value)]).into_response()
        }
        // Ends the connection's task without a word on standard error.
        Fault::Break | Fault::Cut(_) | Fault::Whole | Fault::Slow(_) => {
            std::panic::resume_unwind(Box::new(()))
        }
    }
}

impl World {
    /// Whether a finalize begins that is to take long. The PUT of one part or blob comes before it.
    fn is_slow(&mut self) -> bool {
        let is_sent = self.whole.is_some() || !self.parts.is_empty();
        let Some(Fault::Slow(looks)) = self.finalize_faults.front().filter(|_| is_sent) else { return false };
        (self.looks, self.status) = (Some(*looks), "finalizing");
        self.finalize_faults.clear();
        true
    }

    fn store(&mut self, target: &str, query: &BTreeMap<String, String>, body: Bytes) -> Response {
        self.log.push(format!("PUT {target}"));
        if let Some(fault) = self.put_faults.pop_front() {
            return fail(self, &fault);
        }
        if query["signature"].parse::<u64>().unwrap() < self.oldest_signature {
            return refuse(403, "AccessDenied");
        }
        let etag = self.etag(target, &body);
        match target.strip_prefix("part/") {
            Some(number) => self.parts.insert(number.parse().unwrap(), body).map_or((), drop),
            None => self.whole = Some(body),
        }
        [("etag", etag)].into_response()
    }

    fn etag(&self, target: &str, bytes: &[u8]) -> String {
        use md5::{Digest as _, Md5};
        let name = if self.names_by_md5 { hex::encode(Md5::digest(bytes)) } else { target.to_owned() };
        format!("\"{name}\"")
    }

    fn presign(&mut self, query: &BTreeMap<String, String>) -> Response {
        self.size = query["size"].parse().unwrap();
        self.status = "uploading";
        self.signatures += 1;
        let (base, signature) = (self.base.clone(), self.signatures);
        let url = |target: &str| format!("{base}/store/{target}?signature={signature}");
        let (headers, expires_at) = (
            json!({"x-amz-checksum-crc32": "yes"}),
            DateTime::<Utc>::from(SystemTime::now()) + chrono::TimeDelta::seconds(self.url_lifetime),
        );
        if self.part_size == 0 {
            let put = json!({"mode": "put", "method": "PUT", "presigned_url": url("whole"), "headers": headers,
                "expires_at": expires_at, "size": self.size});
            return Json(put).into_response();
        }
        let plan = PartPlan::restore(self.size, self.part_size).unwrap();
        let wanted: Vec<PartNumber> = if let Some(range) = query.get("parts") {
            let range: PartRange = range.parse().unwrap();
            plan.parts().map(|part| part.number).filter(|n| (range.first..=range.last).contains(n)).collect()
        } else {
            let missing = plan.parts().map(|part| part.number).filter(|n| !self.parts.contains_key(&n.get()));
            missing.take(100).collect()
        };
        let parts: Vec<_> = wanted
            .into_iter()
            .filter_map(|number| plan.part(number))
            .map(|part| {
                json!({"part_number": part.number, "offset": part.offset, "size": part.size,
                    "presigned_url": url(&format!("part/{}", part.number)), "headers": headers})
            })
            .collect();
        let received = self.parts.iter().map(|(number, bytes)| {
            let etag = self.etag(&format!("part/{number}"), bytes);
            json!({"part_number": number, "size": bytes.len(), "etag": etag})
        });
        let received: Vec<_> = received.collect();
        Json(json!({"mode": "multipart", "part_size": self.part_size, "part_count": plan.part_count(),
            "parts": parts, "received": received, "expires_at": expires_at}))
        .into_response()
    }

    fn state(&mut self) -> Response {
        let now = DateTime::<Utc>::from(SystemTime::now());
        if self.looks == Some(0) {
            (self.status, self.blob, self.looks) = ("completed", self.whole.clone(), None);
        }
        let digest = self.blob.as_ref().map(|blob| digest_of(blob));
        let progress =
            self.looks.map(|looks| json!({"phase": "proving\u{1b}[2J", "done": looks, "total": 10}));
        self.looks = self.looks.map(|looks| looks - 1);
        Json(json!({"upload_uuid": self.id, "repository_name": "team/app/model", "status": self.status,
            "digest": digest, "progress": progress, "created_at": now, "expires_at": now}))
        .into_response()
    }

    fn finalize(&mut self, query: &BTreeMap<String, String>, body: &[u8]) -> Response {
        self.finalize_body = String::from_utf8_lossy(body).into_owned();
        if let Some(fault) = self.finalize_faults.pop_front() {
            return fail(self, &fault);
        }
        let bytes: Bytes = match (&self.blob, &self.whole) {
            (Some(blob), _) => blob.clone(),
            (_, Some(whole)) => whole.clone(),
            _ => self.parts.values().flatten().copied().collect::<Vec<_>>().into(),
        };
        if bytes.len() as u64 != self.size {
            return refuse(400, "BLOB_UPLOAD_INVALID");
        }
        if digest_of(&bytes).to_string() != query["digest"] {
            self.status = "failed";
            return refuse(400, "DIGEST_INVALID");
        }
        self.blob = Some(bytes);
        self.status = "completed";
        (StatusCode::CREATED, [("docker-content-digest", query["digest"].clone())]).into_response()
    }

    fn download(&mut self, range: &str) -> Response {
        let Some(mut blob) = self.blob.clone() else { return refuse(404, "BLOB_UNKNOWN") };
        let fault = self.get_faults.pop_front();
        self.log.push(format!("RANGE {range}"));
        let size = blob.len() as u64;
        let (status, start) = match (RangeRequest::parse(range, size), &fault) {
            (RangeRequest::Part(range), Some(Fault::Cut(_)) | None) if range.start > 0 => {
                (StatusCode::PARTIAL_CONTENT, range.start)
            }
            _ => (StatusCode::OK, 0),
        };
        blob = blob.split_off(usize::try_from(start).unwrap());
        let headers = [
            ("content-length", blob.len().to_string()),
            ("content-range", format!("bytes {start}-{}/{size}", size.saturating_sub(1))),
        ];
        let body = match fault {
            Some(Fault::Cut(length)) => {
                blob.truncate(length);
                // The pause lets what was given so far leave before the connection ends.
                let pause = tokio::time::sleep(Duration::from_millis(20));
                let cut = stream::once(async {
                    pause.await;
                    Err(std::io::Error::other("cut"))
                });
                Body::from_stream(stream::iter([Ok(blob)]).chain(cut))
            }
            None | Some(Fault::Whole) => Body::from(blob),
            Some(fault) => return fail(self, &fault),
        };
        (status, headers, body).into_response()
    }
}
