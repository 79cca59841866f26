//! Uploads to registries that sign no URLs, in the ways that they have.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_RANGE, LOCATION, RANGE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use overside_protocol::name::RepositoryName;
use tempfile::TempDir;

use super::server::{content, digest_of, name};
use crate::{Error, Outcome, Registry, RetryPolicy, SavedUploads};

/// A registry that knows no presigned URLs.
#[derive(Debug, Default)]
struct World {
    base: String,
    takes_no_chunks: bool,
    /// Answers a chunk with the offset from before it.
    keeps_nothing: bool,
    /// Amazon's way: `201` to a chunk, the first one's range for ever, and no status.
    counts_once: bool,
    /// The most bytes of a chunk; 416 to more.
    largest_chunk: Option<usize>,
    /// What follows the first chunk is refused with this.
    second_chunk: Option<u16>,
    /// What a mount is refused with.
    mount: Option<u16>,
    /// Answers these to requests with a body, in order; 0 is for one that is taken.
    faults: Vec<u16>,
    /// Each upload's bytes so far; a place has the offset in it, as registries with signed state have.
    uploads: Vec<Vec<u8>>,
    blob: Option<Bytes>,
    log: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct FakeRegistry(Arc<Mutex<World>>);

struct Put {
    registry: FakeRegistry,
    folder: TempDir,
    bytes: Vec<u8>,
}

impl Put {
    async fn new(length: usize) -> Self {
        let (registry, folder, bytes) = (FakeRegistry::default(), TempDir::new().unwrap(), content(length));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        registry.world().base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(registry.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        std::fs::write(folder.path().join("file"), &bytes).unwrap();
        Self { registry, folder, bytes }
    }

    /// The upload of the file.
    fn upload(&self) -> crate::Put {
        let (first_delay, longest_delay) = (Duration::from_millis(1), Duration::from_millis(5));
        let policy = RetryPolicy { attempts: 4, first_delay, longest_delay };
        let registry = Registry::builder(&self.registry.world().base).retry_policy(policy).build().unwrap();
        let saved = SavedUploads::at(self.folder.path().join("states"));
        registry.repository(name()).put(self.folder.path().join("file")).saved_uploads(saved)
    }

    async fn succeeds(&self) {
        let outcome = self.upload().send().await.unwrap();
        assert_eq!((outcome.digest, outcome.outcome), (digest_of(&self.bytes), Outcome::ThroughServer));
        assert!(self.registry.world().blob.as_deref() == Some(&self.bytes[..]));
        assert_eq!(std::fs::read_dir(self.folder.path().join("states")).unwrap().count(), 0);
    }

    fn sent(&self, method: &str) -> usize {
        self.registry.world().log.iter().filter(|line| line.starts_with(method)).count()
    }
}

impl FakeRegistry {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn place(&self, upload: usize) -> [(axum::http::HeaderName, String); 2] {
        let length = self.uploads[upload].len();
        let location = format!("/v2/upload/{upload}/{length}");
        [(LOCATION, location), (RANGE, format!("0-{}", length.saturating_sub(1)))]
    }
}

async fn answer(State(registry): State<FakeRegistry>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 100 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut world = registry.world();
    world.log.push(format!("{} {}", head.method, body.len()));
    if head.uri.path().contains("/blobs/sha256:") {
        let length = world.blob.as_ref().map(Bytes::len);
        return length.map_or(StatusCode::NOT_FOUND.into_response(), |length| {
            [(axum::http::header::CONTENT_LENGTH, length)].into_response()
        });
    }
    if head.method == Method::POST {
        if let Some(status) = world.mount.filter(|_| head.uri.query().is_some_and(|q| q.contains("mount="))) {
            return StatusCode::from_u16(status).unwrap().into_response();
        }
        world.uploads.push(Vec::new());
        let place = world.place(world.uploads.len() - 1);
        return (StatusCode::ACCEPTED, place).into_response();
    }
    let mut words = head.uri.path().rsplit('/').map(|word| word.parse::<usize>().unwrap());
    let (offset, upload) = (words.next().unwrap(), words.next().unwrap());
    if !body.is_empty() && !world.faults.is_empty() {
        let fault = world.faults.remove(0);
        if fault != 0 {
            return StatusCode::from_u16(fault).unwrap().into_response();
        }
    }
    if offset != world.uploads[upload].len() {
        return StatusCode::NOT_FOUND.into_response();
    }
    match head.method {
        Method::GET if world.counts_once => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        Method::GET => (StatusCode::NO_CONTENT, world.place(upload)).into_response(),
        Method::DELETE => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        Method::PATCH if world.largest_chunk.is_some_and(|most| body.len() > most) => {
            (StatusCode::RANGE_NOT_SATISFIABLE, r#"{"errors":[{"code":"SIZE_INVALID"}]}"#).into_response()
        }
        Method::PATCH if offset > 0 && world.second_chunk.is_some() => {
            StatusCode::from_u16(world.second_chunk.unwrap()).unwrap().into_response()
        }
        Method::PATCH if world.takes_no_chunks => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        Method::PATCH => {
            let range = head.headers[CONTENT_RANGE].to_str().unwrap();
            assert_eq!(range, format!("{offset}-{}", offset + body.len() - 1));
            if !world.keeps_nothing {
                world.uploads[upload].extend_from_slice(&body);
            }
            let mut place = world.place(upload);
            if world.counts_once {
                place[1].1 = format!("0-{}", (16 << 20) - 1);
                return (StatusCode::CREATED, place).into_response();
            }
            (StatusCode::ACCEPTED, place).into_response()
        }
        _ => {
            world.uploads[upload].extend_from_slice(&body);
            let bytes = Bytes::from(world.uploads[upload].clone());
            if !head.uri.query().unwrap().ends_with(&digest_of(&bytes).hex()) {
                let refusal = r#"{"errors":[{"code":"DIGEST_INVALID","message":"no match"}]}"#;
                return (StatusCode::BAD_REQUEST, refusal).into_response();
            }
            world.blob = Some(bytes);
            StatusCode::CREATED.into_response()
        }
    }
}

#[tokio::test]
async fn a_blob_goes_in_chunks_each_to_the_place_that_the_last_answer_named() {
    let put = Put::new(40 << 20).await;
    put.succeeds().await;
    assert_eq!((put.sent("PATCH"), put.sent("PUT 0"), put.sent("POST")), (3, 1, 1));
}

#[tokio::test]
async fn where_no_chunks_are_taken_it_is_one_put() {
    let put = Put::new(20 << 20).await;
    put.registry.world().takes_no_chunks = true;
    put.succeeds().await;
    assert_eq!((put.sent("PATCH"), put.sent("PUT")), (1, 1));
    // And one that fails in passing is begun again: nothing can be appended to it.
    let put = Put::new(20 << 20).await;
    put.registry.world().takes_no_chunks = true;
    put.registry.world().faults = vec![405, 503, 503];
    put.succeeds().await;
    assert_eq!((put.sent("PUT"), put.sent("POST")), (3, 3));
}

#[tokio::test]
async fn what_a_registry_does_not_tell_is_not_held_against_it() {
    let put = Put::new(40 << 20).await;
    put.registry.world().counts_once = true;
    put.succeeds().await;
    assert_eq!((put.sent("PATCH"), put.sent("GET"), put.sent("POST")), (3, 1, 1));
}

#[tokio::test]
async fn what_is_refused_for_what_it_is_is_not_sent_again() {
    // GitHub's registry, one that takes less still, and one that takes a single chunk.
    for (length, largest, second, patches, puts, posts) in [
        (20_usize << 20, Some(4 << 20), None, 1 + 5, 1, 1),
        (20 << 20, Some(1 << 20), None, 2, 1, 1),
        (20 << 20, None, Some(416), 3, 1, 2),
        (20 << 20, None, Some(400), 2, 1, 2),
        (20 << 20, None, Some(405), 2, 1, 2),
    ] {
        let put = Put::new(length).await;
        {
            let mut world = put.registry.world();
            (world.largest_chunk, world.second_chunk) = (largest, second);
        }
        put.succeeds().await;
        let sent = (put.sent("PATCH"), put.sent("PUT"), put.sent("POST"));
        assert_eq!(sent, (patches, puts, posts), "{largest:?} {second:?}: {:?}", put.registry.world().log);
    }
}

#[tokio::test]
async fn a_mount_that_is_refused_becomes_an_upload() {
    for status in [400, 401, 403, 404, 405, 500] {
        let put = Put::new(1000).await;
        put.registry.world().mount = Some(status);
        put.upload().mount_from("team/other".parse::<RepositoryName>().unwrap()).send().await.unwrap();
        assert_eq!((put.sent("POST"), put.sent("PATCH")), (2, 1), "{status}");
    }
}

#[tokio::test]
async fn whatever_is_tried_another_way_is_shown() {
    let put = Put::new(20 << 20).await;
    {
        let mut world = put.registry.world();
        (world.mount, world.second_chunk, world.faults) = (Some(403), Some(405), vec![0, 503]);
    }
    let (shown, progress) = super::server::shown_retries();
    let mounting = put.upload().mount_from("team/other".parse::<RepositoryName>().unwrap());
    mounting.progress(progress).send().await.unwrap();
    let shown: Vec<_> =
        shown.lock().unwrap().iter().map(|(status, after)| (*status, after.is_zero())).collect();
    // The mount becomes an upload, the chunk is waited out, and the next is none any more.
    assert_eq!(shown, [(Some(403), true), (Some(503), false), (Some(405), true)]);
}

#[tokio::test]
async fn what_passes_is_waited_out_at_the_registrys_own_offset() {
    let put = Put::new(40 << 20).await;
    put.registry.world().faults = vec![503, 429, 408];
    put.succeeds().await;
    assert_eq!((put.sent("PATCH"), put.sent("GET"), put.sent("POST")), (6, 3, 1));
}

#[tokio::test]
async fn a_registry_that_keeps_nothing_is_given_up() {
    let put = Put::new(1 << 20).await;
    put.registry.world().keeps_nothing = true;
    let error = put.upload().send().await.unwrap_err();
    assert!(matches!(&error, Error::Protocol { what, .. } if what.contains("does not keep")), "{error}");
    assert!(put.sent("PATCH") <= 4);
}

#[tokio::test]
async fn a_refusal_is_final_and_the_next_run_goes_on_after_the_last_chunk() {
    let put = Put::new(40 << 20).await;
    put.registry.world().faults = vec![0, 403];
    assert!(matches!(put.upload().send().await, Err(Error::Refused(refusal)) if refusal.status == 403));
    assert_eq!(put.sent("PATCH"), 2);
    put.succeeds().await;
    assert_eq!((put.sent("PATCH"), put.sent("POST")), (4, 1), "no chunk went twice, and to the same upload");
}
