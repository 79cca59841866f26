//! What was begun is gone on with by the same command, and what is there is not sent again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use futures_util::future::FutureExt;
use url::Url;

use super::NAME;
use super::counted::Counted;
use crate::support::api::{Repository, digest_of};
use crate::support::command_line::CommandLine;
use crate::support::front::Front;
use crate::support::layout::{Layout, Packing};
use crate::support::process::{Process, Server, signal};
use crate::support::trial::Story;
use crate::support::{FaultProxy, Stack, Store, Strike};

/// In bytes: each more than all that is said about the image.
const LAYERS: [usize; 2] = [2_000_000, 300_000];
const PART_SIZE: usize = 16 << 20;
/// In bytes: what a server has sent in parts when it is not asked for another way.
const LARGE_LAYER: usize = 101 << 20;
/// That have arrived when everything dies.
const PARTS: usize = 2;
/// More than is said about an image, in bytes, and far less than a part.
const TALK: u64 = 100_000;
/// Every so many requests the server is struck.
const STRIDE: u64 = 3;
/// Far more than a push of these layers makes.
const MOST_REQUESTS: u64 = 100;
/// For a push that waits for its server to come back.
const PUSH_LIMIT: Duration = Duration::from_mins(1);

pub fn cases() -> Vec<Story> {
    vec![
        ("an_image_that_is_there_is_pushed_again_without_sending_a_blob", |s| again(s).boxed()),
        ("a_push_whose_server_is_killed_at_any_moment_and_started_again_completes", |s| struck(s).boxed()),
        ("large_pushes_that_died_with_their_server_go_on_with_what_had_arrived", |s| died(s).boxed()),
    ]
}

/// An image of these layers in a layout of its own.
fn image(stack: &Stack, name: &str, layers: &[usize]) -> (Layout, PathBuf, Vec<u8>) {
    let folder = stack.folder().join(name);
    let mut layout = Layout::new(folder.clone());
    let image = layout.image(name, Packing::Tar, layers);
    layout.tag("v1", image.clone());
    let manifest = layout.read(&image);
    (layout, folder, manifest)
}

/// The registry has it by this tag, and all that it names.
async fn assert_there(overside: &CommandLine, tag: &str, layout: &Layout, manifest: &[u8]) {
    let read = Repository::of(overside.server(), NAME).get(tag).await.expect(200);
    assert_eq!(read.body, manifest);
    let back = format!("{tag}-back");
    overside.done(&["pull", &format!("{NAME}:{tag}"), &back]).await;
    layout.assert_same_as(&overside.path(&back));
}

async fn again(stack: Arc<Stack>) {
    let counted = Counted::start(&stack).await;
    let overside = CommandLine::new(&stack, "client", &counted.url);
    let (layout, folder, manifest) = image(&stack, "image", &LAYERS);
    let archive = folder.to_str().expect("UTF-8");
    let blobs = LAYERS.len() + 1;
    let first = overside.result(&["push", archive, &format!("{NAME}:v1")]).await;
    assert_eq!((&first["blobs"]["sent"], &first["blobs"]["existed"]), (&blobs.into(), &0.into()));
    let objects = stack.objects().await;
    assert_eq!(objects.len(), blobs);

    let before = counted.traffic().to_target;
    assert!(before > LAYERS.iter().sum::<usize>() as u64, "{before} bytes were sent");
    let elsewhere = stack.folder().join("another-machine");
    for (tag, flags, existed) in [
        ("v1", &[][..], 0),
        ("v2", &[], 0),
        ("v3", &["--recheck"], blobs as u64),
        ("v4", &["--state", elsewhere.to_str().expect("UTF-8")], 0),
    ] {
        let result = overside.result(&[&["push", archive, &format!("{NAME}:{tag}")], flags].concat()).await;
        let told = ["sent", "sent_bytes", "existed"].map(|count| result["blobs"][count].as_u64());
        assert_eq!(told, [Some(0), Some(0), Some(existed)], "{tag}: {result}");
        assert_eq!(result["digest"], digest_of(&manifest).to_string());
        assert_there(&overside.at(counted.server.base_url()), tag, &layout, &manifest).await;
    }
    let sent = counted.traffic().to_target - before;
    assert!(sent < TALK, "{sent} bytes were sent");
    assert_eq!(stack.objects().await, objects);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

/// Where a server is started again behind one address, with what it was started with.
struct Restarting {
    stack: Arc<Stack>,
    front: Front,
    flags: Vec<String>,
}

impl Restarting {
    async fn start(&self) -> Server {
        let flags: Vec<_> = self.flags.iter().map(String::as_str).collect();
        let server = self.stack.server(&flags).await;
        self.front.lead_to(server.base_url());
        server
    }
}

async fn restarting(stack: &Arc<Stack>) -> Restarting {
    // What the dead server was finalizing is soon another's to finish.
    let flags = ["--part-size", "16MiB", "--lease", "2s"].map(str::to_owned).to_vec();
    Restarting { stack: stack.clone(), front: Front::open().await, flags }
}

async fn struck(stack: Arc<Stack>) {
    let mut restarting = restarting(&stack).await;
    let wire = FaultProxy::in_front_of(&Url::parse(restarting.front.url()).expect("a URL")).await;
    if let Store::Filesystem { .. } = &stack.store {
        restarting.flags.extend(["--public-url".to_owned(), wire.url().to_string()]);
    }
    let mut server = restarting.start().await;
    let overside = CommandLine::new(&stack, "client", wire.url().as_str());
    let mut struck = 0;
    for request in (1..MOST_REQUESTS).step_by(STRIDE.try_into().expect("a small number")) {
        let tag = format!("v{request}");
        let (layout, folder, manifest) = image(&stack, &tag, &LAYERS.map(|size| size + struck));
        let pid = server.pid();
        let strike = if request % 2 == 0 { Strike::After } else { Strike::Before };
        wire.arm(request, strike, move || signal(pid, "-KILL"));
        let name = format!("{NAME}:{tag}");
        let arguments = ["push", folder.to_str().expect("UTF-8"), &name];
        let mut push = Process::spawn(&mut overside.command(&arguments));
        while wire.is_armed() {
            if push.wait(Duration::ZERO).await.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let was_struck = !wire.is_armed();
        if was_struck {
            server.kill9();
            server = restarting.start().await;
            struck += 1;
        }
        let status = push.wait(PUSH_LIMIT).await.expect("it ends");
        if request == 1 && status.code() == Some(1) {
            // A server that has never answered may be a typing error, and is not waited for until it is back.
            overside.done(&arguments).await;
        } else {
            assert!(status.success(), "struck at request {request}: {status}");
        }
        assert_there(&overside.at(restarting.front.url()), &tag, &layout, &manifest).await;
        if !was_struck {
            break;
        }
    }
    assert!(struck > 3, "a push makes more requests than {struck} strikes are for");
    assert_eq!(stack.objects().await.len(), (struck + 1) * (LAYERS.len() + 1));
}

async fn died(stack: Arc<Stack>) {
    let mut restarting = restarting(&stack).await;
    // The line that parts are sent on, to the bucket or to the server itself.
    let (door, target) = match &stack.store {
        Store::S3 { endpoint, .. } => ("--s3-public-endpoint", endpoint.clone()),
        Store::Filesystem { .. } => ("--public-url", Url::parse(restarting.front.url()).expect("a URL")),
    };
    let wire = FaultProxy::in_front_of(&target).await;
    restarting.flags.extend([door.to_owned(), wire.url().to_string()]);
    let mut server = restarting.start().await;
    let overside = CommandLine::new(&stack, "client", restarting.front.url());
    let (layout, folder, manifest) = image(&stack, "image", &[LARGE_LAYER]);
    let push = ["push", folder.to_str().expect("UTF-8"), &format!("{NAME}:v1"), "--jobs", "1"];

    let (client, server_pid) = (Arc::new(AtomicU32::new(0)), server.pid());
    let struck = client.clone();
    wire.arm(PARTS as u64 + 1, Strike::Before, move || {
        signal(struck.load(SeqCst), "-KILL");
        signal(server_pid, "-KILL");
    });
    let mut process = Process::spawn(&mut overside.command(&push));
    client.store(process.id(), SeqCst);
    let ended = process.wait(PUSH_LIMIT).await;
    assert!(ended.is_some_and(|status| status.code().is_none()), "{ended:?}");
    server.kill9();
    assert!(!wire.is_armed());
    let before = wire.traffic().to_target;
    let arrived = PARTS * PART_SIZE;
    assert!(before >= arrived as u64, "{before} bytes had arrived");

    let server = restarting.start().await;
    let result = overside.result(&push).await;
    assert_eq!(result["digest"], digest_of(&manifest).to_string());
    let sent = wire.traffic().to_target - before;
    let missing = (LARGE_LAYER - arrived) as u64;
    assert!((missing..missing + TALK).contains(&sent), "{sent} bytes were sent, {missing} were missing");
    assert_there(&overside.at(server.base_url()), "v1", &layout, &manifest).await;
    assert_eq!(stack.objects().await.len(), 2);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}
