//! Our own client with gigabytes: what a rough network makes it send twice, and what it holds in memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use overside::domain::digest::Digest;
use overside::domain::hash::Hasher;
use serde_json::json;

use super::is_localstack;
use crate::support::image::{CONFIG, IMAGE};
use crate::support::process::Process;
use crate::support::rough::{RoughProxy, Roughness};
use crate::support::servers::Servers;
use crate::support::{Stack, Store, api};

/// Of which so much is pushed through a proxy that cuts and refuses; in two layers.
const ROUGH_LAYER: u64 = (1 << 30) + 4321;
/// What still goes up in parts: one PUT would be longer than the line holds.
const MODEST_ROUGH_LAYER: u64 = (110 << 20) + 4321;
const CUT_EVERY: u64 = 200 << 20;
const REFUSE_EVERY: u64 = 7;
/// Of what is pushed so many bytes more may be sent, one in this.
const TWICE_AT_MOST: u64 = 10;
/// What a cut costs at most: the part that was on that line. And a refusal: what was on its way when it came.
const PART_SIZE: u64 = 8 << 20;
const REFUSED: u64 = 1 << 20;

/// Four layers of these make 10 GiB: in a full run, where the store keeps a blob once. What the client holds does not
/// depend on the store, and a small machine's disk does not take all of it twice.
const HUGE_LAYER: u64 = (10 << 30) / 4;
/// Each of the four at once is less than the client may hold, all of them three times as much.
const ENOUGH_LAYER: u64 = (75 << 20) + 4321;
const MODEST_LAYER: u64 = (48 << 20) + 4321;
/// What a client may hold resident, its program included, in bytes.
const CLIENT_MEMORY: u64 = 100 << 20;
const POLL: Duration = Duration::from_millis(20);
/// A number at the beginning of each so many bytes: no two stretches of a layer are the same.
const STAMP_EVERY: u64 = 1 << 20;
const TAG: &str = "team/large/image:v1";

/// 2 GiB through a proxy in front of service and store that cuts the connection every 200 MiB and answers 503 to
/// every seventh request.
pub async fn rough(stack: Arc<Stack>) {
    let _turn = super::turn(&stack).await;
    let (layer, cut_every) = if stack.takes_gigabytes() {
        (ROUGH_LAYER, CUT_EVERY)
    } else {
        (MODEST_ROUGH_LAYER, MODEST_ROUGH_LAYER / 3)
    };
    let roughness = Roughness { cut_every: Some(cut_every), refuse_every: Some(REFUSE_EVERY) };
    let to_store = match &stack.store {
        Store::S3 { endpoint, .. } => Some(RoughProxy::in_front_of(endpoint, roughness)),
        Store::Filesystem { .. } => None,
    };
    let (to_service, flags) = RoughProxy::before_a_service(roughness);
    let mut flags: Vec<_> = flags.iter().map(String::as_str).collect();
    if let Some(proxy) = &to_store {
        flags.extend(["--s3-public-endpoint", proxy.url().as_str()]);
    }
    let _server = stack.server(&flags).await;

    let image = SparseImage::new(&stack.folder().join("image"), 2, layer).await;
    let base = to_service.url().as_str().trim_end_matches('/');
    let pushed = stack.command(&["push", &image.path(), TAG, "--server", base]).await;
    assert_eq!(pushed.code, Some(0), "{}{}", pushed.stdout, pushed.stderr);
    assert_eq!(pushed.stdout, format!("{} {TAG}\n", image.digest));

    let sent = [Some(&to_service), to_store.as_ref()].into_iter().flatten().map(RoughProxy::sent);
    let (bodies, cuts, refused) = sent.fold((0, 0, 0), |(bodies, cuts, refused), sent| {
        (bodies + sent.bodies, cuts + sent.cuts, refused + sent.refused)
    });
    let whole = 2 * layer;
    assert!(cuts >= whole / cut_every && refused > 5, "{cuts} cuts and {refused} refusals");
    // With cuts as close together as a small blob needs them a part each is a larger share.
    let twice =
        if stack.takes_gigabytes() { whole / TWICE_AT_MOST } else { cuts * PART_SIZE + refused * REFUSED };
    assert!(bodies < whole + twice, "{bodies} bytes were sent of {whole}: {cuts} cuts, {refused} refusals");
    image.assert_stored(&stack).await;
}

/// Four layers, four bodies at a time.
pub async fn memory(stack: Arc<Stack>) {
    let _turn = super::turn(&stack).await;
    let layer = match &stack.store {
        _ if is_localstack(&stack) => MODEST_LAYER,
        Store::Filesystem { .. } if Servers::from_environment().is_full => HUGE_LAYER,
        _ => ENOUGH_LAYER,
    };
    let server = stack.server(&[]).await;
    let image = SparseImage::new(&stack.folder().join("image"), 4, layer).await;
    let mut command = stack.binary();
    command.args(["push", &image.path(), TAG, "--jobs", "4", "--server", server.base_url()]);
    command.stdout(Stdio::null());
    let mut client = Process::spawn(&mut command);
    let status = format!("/proc/{}/status", client.id());
    let mut peak = 0;
    let ended = loop {
        // The kernel keeps the peak: the last look before the end has nearly all of it.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let seen = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(seen.unwrap_or_default() << 10);
        if let Some(ended) = client.wait(POLL).await {
            break ended;
        }
    };
    assert!(ended.success(), "{ended}");
    assert!(peak > 0 && peak < CLIENT_MEMORY, "{peak} bytes");
    image.assert_stored(&stack).await;
}

/// An image in the OCI image layout whose layers are almost all holes.
struct SparseImage {
    folder: PathBuf,
    digest: Digest,
    layers: Vec<(Digest, u64)>,
}

impl SparseImage {
    async fn new(folder: &Path, layers: u64, size: u64) -> Self {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).expect("a folder of our own");
        let making = (0..layers).map(|number| {
            let blobs = blobs.clone();
            tokio::task::spawn_blocking(move || make_layer(&blobs, number, size))
        });
        let mut made = Vec::new();
        for layer in futures_util::future::join_all(making).await {
            made.push((layer.expect("making a layer does not panic"), size));
        }
        let write = |bytes: &[u8]| {
            let digest = api::digest_of(bytes);
            std::fs::write(blobs.join(digest.hex()), bytes).expect("a file of our own");
            json!({ "digest": digest, "size": bytes.len() })
        };
        let typed = |mut descriptor: serde_json::Value, media_type: &str| {
            descriptor["mediaType"] = media_type.into();
            descriptor
        };
        let diff_ids: Vec<_> = made.iter().map(|(digest, _)| digest).collect();
        let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids } });
        let config = typed(write(config.to_string().as_bytes()), CONFIG);
        let layers = made.iter().map(|(digest, size)| {
            typed(json!({ "digest": digest, "size": size }), "application/vnd.oci.image.layer.v1.tar")
        });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers.collect::<Vec<_>>(),
        });
        let manifest = manifest.to_string();
        let descriptor = typed(write(manifest.as_bytes()), IMAGE);
        let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
        std::fs::write(folder.join("index.json"), index.to_string()).expect("a file of our own");
        let version = json!({ "imageLayoutVersion": "1.0.0" });
        std::fs::write(folder.join("oci-layout"), version.to_string()).expect("a file of our own");
        Self { folder: folder.to_owned(), digest: api::digest_of(manifest.as_bytes()), layers: made }
    }

    fn path(&self) -> String {
        self.folder.display().to_string()
    }

    /// Every layer is in its place, and its bytes are its own.
    async fn assert_stored(&self, stack: &Stack) {
        stack.settled_within(super::COPY_LIMIT).await;
        let mut sizes: Vec<_> = stack.objects().await.into_iter().map(|(_, size)| size).collect();
        sizes.sort_unstable();
        let layers: Vec<_> = self.layers.iter().map(|(_, size)| *size).collect();
        assert_eq!(sizes[1..], layers, "the config and the layers");
        // The service proved the bytes before it placed them; what is looked at here is where they are.
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
}

/// Of no use as an archive, but nobody looks into layers.
fn make_layer(blobs: &Path, number: u64, size: u64) -> Digest {
    let path = blobs.join(format!("layer-{number}"));
    let file = File::create(&path).expect("a file of our own");
    file.set_len(size).expect("room for holes");
    let mut hasher = Hasher::default();
    let mut block = vec![0; usize::try_from(STAMP_EVERY).expect("a small block")];
    let mut offset = 0;
    while offset < size {
        let stamp = ((number << 40) | (offset / STAMP_EVERY)) + 1;
        block[..8].copy_from_slice(&stamp.to_le_bytes());
        let length = STAMP_EVERY.min(size - offset);
        hasher.update(&block[..usize::try_from(length).expect("a small block")]);
        file.write_all_at(&block[..8], offset).expect("a file of our own");
        offset += STAMP_EVERY;
    }
    let digest = hasher.finish();
    std::fs::rename(&path, blobs.join(digest.hex())).expect("a file of our own");
    digest
}
