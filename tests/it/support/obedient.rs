//! A store that obeys headers which nobody signed, as `MinIO`, `S3Proxy` and the `JuiceFS` gateway do: a proxy on loopback
//! in front of one that refuses them. What a presigned PUT with such a header asks for, it does by keys of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::MetadataDirective;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use url::Url;

use super::bucket;
use super::servers::{BUCKET, KEYS};

const TAGGING: &str = "x-amz-tagging";
const LOCKED_UNTIL: &str = "x-amz-object-lock-retain-until-date";
const CUSTOMER_KEY: &str = "x-amz-server-side-encryption-customer-key";

/// What it obeys.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub struct Obedience {
    /// Copies, where `x-amz-copy-source` is added.
    pub copies: bool,
    /// And keeps to the condition in `x-amz-copy-source-if-match`.
    pub heeds_condition: bool,
    /// Takes other bytes than the signed checksum fits, where `x-amz-checksum-algorithm` is added.
    pub forgets_checksums: bool,
    /// Keeps an object's tags, where `x-amz-tagging` is added.
    pub tags: bool,
    /// Keeps an object from being removed, where `x-amz-object-lock-mode` is added.
    pub locks: bool,
    /// Gives an object to nobody without the key that was added to its PUT.
    pub encrypts: bool,
    /// Does not look at signatures: sends every presigned PUT on as its own.
    pub trusts_everybody: bool,
    /// Answers `501` to whatever has to do with uploads in parts.
    pub has_no_parts: bool,
}

#[derive(Debug)]
pub struct ObedientStore {
    pub url: Url,
    /// Answers `503` to every presigned PUT.
    pub is_away: Arc<AtomicBool>,
}

struct Line {
    target: Url,
    client: Client,
    http: reqwest::Client,
    obedience: Obedience,
    /// What was added to PUTs and is kept with their objects, by key.
    kept: Mutex<HashMap<String, HeaderMap>>,
    is_away: Arc<AtomicBool>,
}

impl ObedientStore {
    pub async fn in_front_of(target: &Url, obedience: Obedience) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
        let mut url = target.clone();
        url.set_port(Some(listener.local_addr().expect("an address").port())).expect("a URL with a port");
        let is_away = Arc::<AtomicBool>::default();
        let line = Arc::new(Line {
            target: target.clone(),
            client: bucket::client(target, KEYS),
            http: super::http(),
            obedience,
            kept: Mutex::default(),
            is_away: Arc::clone(&is_away),
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let line = Arc::clone(&line);
                let answer = hyper::service::service_fn(move |request| {
                    let line = Arc::clone(&line);
                    async move { Ok::<_, Infallible>(line.answer(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
                );
            }
        });
        Self { url, is_away }
    }
}

/// A presigned PUT, as far as it matters here.
struct Put {
    key: String,
    /// The multipart upload and the part, of a part's.
    part: Option<(String, i32)>,
    signed_headers: String,
}

impl Put {
    fn read(request: &Request<Incoming>) -> Option<Self> {
        let uri = request.uri();
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(uri.query()?.as_bytes()).into_owned().collect();
        let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        value("X-Amz-Signature").filter(|_| request.method() == Method::PUT)?;
        Some(Self {
            key: uri.path().strip_prefix(&format!("/{BUCKET}/"))?.to_owned(),
            part: value("uploadId").zip(value("partNumber").and_then(|number| number.parse().ok())),
            signed_headers: value("X-Amz-SignedHeaders")?,
        })
    }

    fn signs(&self, header: &str) -> bool {
        self.signed_headers.split(';').any(|signed| signed == header)
    }
}

impl Line {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let query = request.uri().query().unwrap_or_default();
        if self.obedience.has_no_parts && (query.contains("uploads") || query.contains("uploadId")) {
            return told(501, "NotImplemented");
        }
        if let Some(put) = Put::read(&request) {
            if self.is_away.load(SeqCst) {
                return told(503, "ServiceUnavailable");
            }
            let headers = request.headers().clone();
            let said =
                |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            if let Some(source) = said("x-amz-copy-source").filter(|_| self.obedience.copies) {
                return match said("x-amz-copy-source-if-match") {
                    Some(_) if self.obedience.heeds_condition => told(412, "PreconditionFailed"),
                    _ => self.copy(&put, source).await,
                };
            }
            let forgets = self.obedience.forgets_checksums
                && headers.contains_key("x-amz-checksum-algorithm")
                && !put.signs("x-amz-checksum-algorithm");
            let keeps = (self.obedience.tags && headers.contains_key(TAGGING))
                || (self.obedience.locks && headers.contains_key(LOCKED_UNTIL))
                || (self.obedience.encrypts && headers.contains_key(CUSTOMER_KEY));
            if keeps {
                self.kept.lock().expect("nobody panics with it").insert(put.key.clone(), headers);
            }
            if forgets || keeps || self.obedience.trusts_everybody {
                return self.write(&put, request).await;
            }
        }
        if self.obedience.encrypts && self.is_encrypted(&request) {
            return told(400, "InvalidRequest");
        }
        let looked_at = self.kept_with(request.uri().path()).filter(|_| request.method() == Method::HEAD);
        let mut answer = self.forward(request).await;
        if let Some(until) = looked_at.and_then(|kept| kept.get(LOCKED_UNTIL).cloned()) {
            answer.headers_mut().insert(LOCKED_UNTIL, until);
        }
        answer
    }

    fn kept_with(&self, path: &str) -> Option<HeaderMap> {
        let key = path.trim_start_matches('/').strip_prefix(BUCKET)?.strip_prefix('/')?;
        self.kept.lock().expect("nobody panics with it").get(key).cloned()
    }

    /// Whether a request reads or copies what was put with a key.
    fn is_encrypted(&self, request: &Request<Incoming>) -> bool {
        let source = request.headers().get("x-amz-copy-source").and_then(|source| source.to_str().ok());
        let reads = matches!(*request.method(), Method::GET | Method::HEAD).then(|| request.uri().path());
        let kept = source.or(reads).and_then(|path| self.kept_with(path));
        kept.is_some_and(|headers| headers.contains_key(CUSTOMER_KEY))
    }

    async fn copy(&self, put: &Put, source: String) -> Response<Full<Bytes>> {
        let copied = if let Some((id, number)) = &put.part {
            let copy = self.client.upload_part_copy().bucket(BUCKET).key(&put.key).upload_id(id);
            copy.part_number(*number).copy_source(source).send().await.map(drop).is_ok()
        } else {
            let copy = self.client.copy_object().bucket(BUCKET).key(&put.key).copy_source(source);
            let copy = copy.metadata_directive(MetadataDirective::Replace);
            copy.send().await.map(drop).is_ok()
        };
        if copied { told(200, "CopyObjectResult") } else { told(404, "NoSuchKey") }
    }

    async fn write(&self, put: &Put, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let tags = request.headers().get(TAGGING).and_then(|tags| tags.to_str().ok()).map(str::to_owned);
        let Ok(body) = request.into_body().collect().await else { return told(400, "IncompleteBody") };
        let body = body.to_bytes().into();
        let tags = tags.filter(|_| self.obedience.tags);
        let written = if let Some((id, number)) = &put.part {
            let write = self.client.upload_part().bucket(BUCKET).key(&put.key).upload_id(id);
            write.part_number(*number).body(body).send().await.map(|part| part.e_tag).ok()
        } else {
            let write = self.client.put_object().bucket(BUCKET).key(&put.key).body(body).set_tagging(tags);
            write.send().await.map(|object| object.e_tag).ok()
        };
        let mut answer = told(if written.is_some() { 200 } else { 400 }, "Written");
        if let Some(etag) = written.flatten() {
            answer.headers_mut().insert("etag", etag.parse().expect("an ETag is a header"));
        }
        answer
    }

    /// Signatures cover the host that the sender sees, so that stays as it is.
    async fn forward(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return told(400, "IncompleteBody") };
        let url = format!("{}{}", self.target.as_str().trim_end_matches('/'), head.uri);
        let sent =
            self.http.request(head.method, url).headers(end_to_end(&head.headers)).body(body.to_bytes());
        let Ok(answer) = sent.send().await else { return told(502, "BadGateway") };
        let (status, headers) = (answer.status(), end_to_end(answer.headers()));
        let Ok(body) = answer.bytes().await else { return told(502, "BadGateway") };
        let mut passed = Response::new(Full::new(body));
        *passed.status_mut() = status;
        *passed.headers_mut() = headers;
        passed
    }
}

fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(CONNECTION);
    headers.remove(TRANSFER_ENCODING);
    headers
}

fn told(status: u16, what: &str) -> Response<Full<Bytes>> {
    let body = if status < 300 {
        format!("<{what}><ETag>\"etag\"</ETag></{what}>")
    } else {
        format!("<Error><Code>{what}</Code><Message>as it was asked to</Message></Error>")
    };
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status.try_into().expect("a status");
    answer
}
