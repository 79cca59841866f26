//! Our own client, killed again and again: the same command goes on, and sends nothing that had arrived.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use overside::domain::digest::Digest;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::support::api::{Answer, Repository, Upload, content, digest_of};
use crate::support::process::Process;
use crate::support::rough::{RoughProxy, Roughness};
use crate::support::{Stack, Store};

const KILLS: usize = 20;
/// Several parts each, and no two of a size.
const LAYERS: [usize; 3] = [11_000_000, 16_000_000, 21_000_000];
/// From the start of the program to somewhere in the middle, by chance.
const LATEST_KILL: Duration = Duration::from_millis(800);
/// The manifest, the config and what finalizing is told.
const JSON: u64 = 50_000;
const NAME: &str = "team/killed";
const SEED: u64 = 20;

/// What runs of the client have to do with.
struct Line<'a> {
    server: String,
    to_service: &'a RoughProxy,
    /// Where the service does not keep bodies itself.
    to_store: Option<&'a RoughProxy>,
}

impl Line<'_> {
    /// Bytes of blobs that were sent by all runs that have ended; with some KiB of JSON, which is put as well.
    async fn sent(&self) -> u64 {
        // What the kernel still held of a killed one goes through after it.
        self.to_service.until_quiet().await;
        let bodies = match self.to_store {
            Some(store) => {
                store.until_quiet().await;
                store
            }
            None => self.to_service,
        };
        bodies.requests().iter().filter(|request| request.method == "PUT").map(|put| put.body).sum()
    }
}

pub async fn story(stack: Arc<Stack>) {
    let calm = Roughness::default();
    let to_store = match &stack.store {
        Store::S3 { endpoint, .. } => Some(RoughProxy::in_front_of(endpoint, calm)),
        Store::Filesystem { .. } => None,
    };
    let (to_service, flags) = RoughProxy::before_a_service(calm);
    let mut flags: Vec<_> = flags.iter().map(String::as_str).chain(["--part-size", "5MiB"]).collect();
    if let Some(proxy) = &to_store {
        flags.extend(["--s3-public-endpoint", proxy.url().as_str()]);
    }
    let server = stack.server(&flags).await;
    let url = to_service.url().as_str().trim_end_matches('/').to_owned();
    let line = Line { server: url, to_service: &to_service, to_store: to_store.as_ref() };
    let mut random = rand::rngs::StdRng::seed_from_u64(SEED);
    let (mut kills, mut round) = (0, 0);
    // A push that comes through before its turn is over is not the last one.
    while kills < KILLS {
        round += 1;
        let name = format!("{NAME}/{round}");
        let layout = stack.folder().join(format!("layout-{round}"));
        let layers = lay_out(&layout, round);
        let arguments =
            ["push", &layout.display().to_string(), &format!("{name}:v1"), "--server", &line.server]
                .map(str::to_owned);
        loop {
            let before = line.sent().await;
            let missing = missing(&stack, &server_repository(&server, &name), &layers).await;
            let mut command = stack.binary();
            let mut client = Process::spawn(command.args(&arguments).stdout(Stdio::null()));
            let ended = client.wait(LATEST_KILL.mul_f64(random.random_range(0.0..1.0))).await;
            let is_killed = ended.is_none() && kills < KILLS;
            if is_killed {
                kills += 1;
            } else {
                let ended = match ended {
                    Some(ended) => ended,
                    None => client.wait(Duration::from_mins(2)).await.expect("it ends"),
                };
                assert!(ended.success(), "{ended}");
            }
            drop(client);
            let sent = line.sent().await - before;
            assert!(sent <= missing + JSON, "{sent} bytes were sent where {missing} had not arrived");
            if !is_killed {
                break;
            }
        }
        let repository = server_repository(&server, &name);
        for (digest, bytes) in &layers {
            assert!(repository.read(digest).await.expect(200).body == *bytes, "{digest}");
        }
    }
    let all: usize = round * LAYERS.iter().sum::<usize>();
    assert!(line.sent().await >= all as u64, "every byte was seen to pass");
    let states = stack.folder().join(".local/state/overside/uploads");
    // What a kill kept from getting its name is of no use to anybody, and is swept with time.
    let names = std::fs::read_dir(&states).expect("a folder").flatten().map(|entry| entry.file_name());
    let left: Vec<_> = names.filter(|name| !name.display().to_string().contains(".tmp")).collect();
    assert!(left.is_empty(), "what is done is not remembered: {left:?}");
}

fn server_repository(server: &crate::support::process::Server, name: &str) -> Repository {
    Repository::of(server.base_url(), name)
}

/// Bytes that the server has not got, as it says itself.
async fn missing(stack: &Stack, repository: &Repository, layers: &[(Digest, Vec<u8>)]) -> u64 {
    let mut missing = 0;
    for (digest, bytes) in layers {
        let size = bytes.len() as u64;
        let head = repository.http.head(repository.url(digest));
        let is_there = Answer::to(head).await.status == 200;
        let received = if is_there { size } else { received(stack, repository, digest, size).await };
        missing += size - received.min(size);
    }
    missing
}

/// What has arrived of the upload that the client remembers.
async fn received(stack: &Stack, repository: &Repository, digest: &Digest, size: u64) -> u64 {
    let folder = stack.folder().join(".local/state/overside/uploads");
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let states = entries.filter_map(|entry| {
        let bytes = std::fs::read(entry.ok()?.path()).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    });
    for state in states.filter(|state| state["digest"] == digest.to_string()) {
        let id = state["begun"]["upload"].as_str().expect("an upload's name").to_owned();
        let url = repository.url(format!("uploads/{id}"));
        let upload = Upload { http: repository.http.clone(), url };
        if upload.state().await.json()["status"] != "uploading" {
            continue;
        }
        let size = size.to_string();
        let signed = upload.sign(&[("size", &size), ("digest", &digest.to_string())]).await.json();
        let parts = signed["received"].as_array().cloned().unwrap_or_default();
        return parts.iter().filter_map(|part| part["size"].as_u64()).sum();
    }
    0
}

/// An artifact of three files that no other round has.
fn lay_out(folder: &Path, round: usize) -> Vec<(Digest, Vec<u8>)> {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("a folder of our own");
    let write = |bytes: &[u8]| {
        let digest = digest_of(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes).expect("a file of our own");
        json!({ "mediaType": "application/octet-stream", "digest": digest, "size": bytes.len() })
    };
    let layers: Vec<_> = LAYERS.iter().map(|size| content(size + round)).collect();
    let config = write(format!("{{\"round\":{round}}}").as_bytes());
    let described: Vec<_> = layers.iter().map(|bytes| write(bytes)).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": crate::support::image::IMAGE, "artifactType": "application/vnd.example",
        "config": config, "layers": described,
    });
    let mut descriptor = write(manifest.to_string().as_bytes());
    descriptor["mediaType"] = crate::support::image::IMAGE.into();
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
    std::fs::write(folder.join("index.json"), index.to_string()).expect("a file of our own");
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
        .expect("a file of our own");
    layers.into_iter().map(|bytes| (digest_of(&bytes), bytes)).collect()
}
