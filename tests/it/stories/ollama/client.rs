//! Ollama's library pushes a model and pulls it, in the program of `scripts/testing/ollama`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::FutureExt;
use overside::domain::access::Role;
use serde_json::json;
use url::Url;

use super::{Key, has_bucket};
use crate::stories::clients::{Client, Machine};
use crate::support::api::{digest_of, seeded_content};
use crate::support::trial::Story;
use crate::support::{Accounts, FaultProxy, Servers, Stack};

pub const CLIENT: Client = Client::Current("ollama");
/// A tensor, in bytes.
const FULL: usize = 300 << 20;
/// More than the client's parts of 100 MiB.
const TWO_PARTS: usize = 120 << 20;
/// The same where a run shall be quick.
const QUICK: usize = 20 << 20;
/// The service's own traffic may be one byte in so many of the model's.
const TRAFFIC_SHARE: u64 = 100;
/// Of each of two parts that the client begins to send here: what fits into the buffers of two connections, and of the
/// counting line between, before an answer is read.
const ON_ITS_WAY: u64 = 2 * (8 << 20);

pub fn cases() -> Vec<Story> {
    vec![
        ("a_model_is_pushed_and_comes_back_byte_by_byte", |stack| round_trip(stack, &[], FULL).boxed()),
        ("a_model_is_pushed_part_by_part_and_comes_back", |stack| {
            round_trip(stack, &["-parts"], TWO_PARTS).boxed()
        }),
        ("a_registered_key_pushes_and_pulls_and_a_strangers_does_not", |stack| signed_in(stack).boxed()),
    ]
}

/// A folder with a manifest and the blobs that it names, one of them large.
fn model(folder: &Path, large: usize) -> PathBuf {
    let folder = folder.join("model");
    std::fs::create_dir(&folder).expect("a folder");
    let layer = |media_type: &str, bytes: &[u8]| {
        let digest = digest_of(bytes).to_string();
        std::fs::write(folder.join(digest.replace(':', "-")), bytes).expect("a blob");
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": layer("application/vnd.docker.container.image.v1+json", b"{\"model_format\":\"safetensors\"}"),
        "layers": [
            layer("application/vnd.ollama.image.tensor", &seeded_content(1, large)),
            layer("application/vnd.ollama.image.tensor", &seeded_content(2, 70_000)),
            layer("application/vnd.ollama.image.template", b"{{ .Prompt }}"),
        ],
    });
    std::fs::write(folder.join("manifest.json"), manifest.to_string()).expect("a manifest");
    folder
}

fn assert_same(one: &Path, other: &Path) {
    for entry in std::fs::read_dir(one).expect("a folder") {
        let name = entry.expect("an entry").file_name();
        let [one, other] = [one, other].map(|folder| std::fs::read(folder.join(&name)).expect("a file"));
        assert!(one == other, "{}", name.display());
    }
}

async fn round_trip(stack: Arc<Stack>, flags: &[&str], full: usize) {
    let server = stack.server(&[]).await;
    let line = FaultProxy::in_front_of(&Url::parse(server.base_url()).expect("a URL")).await;
    let size = if Servers::from_environment().is_full && has_bucket(&stack) { full } else { QUICK };
    let machine = Machine::new(&stack, CLIENT, "laptop");
    let folder = model(stack.folder(), size);
    let there = format!("http://localhost:{}/team/model:latest", line.url().port().expect("a port"));
    machine.done(machine.command().args(flags).arg("push").arg(&folder).arg(&there)).await;
    let back = stack.folder().join("back");
    machine.done(machine.command().args(["pull", &there]).arg(&back)).await;
    assert_same(&folder, &back);
    if has_bucket(&stack) {
        let traffic = line.traffic();
        let here = traffic.to_target + traffic.to_client;
        let on_its_way = if flags.is_empty() { 0 } else { ON_ITS_WAY };
        assert!(here < size as u64 / TRAFFIC_SHARE + on_its_way, "{here} bytes passed the service");
    }
    // A second push sends nothing.
    let before = line.traffic().to_target;
    machine.done(machine.command().args(flags).arg("push").arg(&folder).arg(&there)).await;
    assert!(line.traffic().to_target - before < 20_000);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

async fn signed_in(stack: Arc<Stack>) {
    let server = stack.guarded_server(&[]).await;
    let accounts = Accounts::of(&stack).await;
    accounts.project("team", false).await;
    accounts.user_as("dev", "team", Role::Developer).await;
    accounts.user_as("guest", "team", Role::Guest).await;
    let there = format!("{}/team/model:latest", server.base_url().replace("127.0.0.1", "localhost"));
    let folder = model(stack.folder(), 2 << 20);
    let machine = |name: &str, key: &Key| {
        let machine = Machine::new(&stack, CLIENT, name);
        std::fs::create_dir(machine.path(".ollama")).expect("a folder");
        std::fs::write(machine.path(".ollama/id_ed25519"), &key.pem).expect("a key");
        machine
    };
    let keys = [Key::generate(), Key::generate(), Key::generate()];
    keys[0].register(&stack, "dev").await;
    keys[1].register(&stack, "guest").await;
    let machines = [machine("dev", &keys[0]), machine("guest", &keys[1]), machine("stranger", &keys[2])];
    let refused = machines[2].refused(machines[2].command().arg("push").arg(&folder).arg(&there)).await;
    assert!(refused.contains("overside user key add"), "{refused}");
    machines[0].done(machines[0].command().arg("push").arg(&folder).arg(&there)).await;
    let back = stack.folder().join("back");
    machines[1].done(machines[1].command().args(["pull", &there]).arg(&back)).await;
    assert_same(&folder, &back);
    let refused = machines[2].refused(machines[2].command().args(["pull", &there]).arg(&back)).await;
    assert!(refused.contains("overside user key add"), "{refused}");
}
