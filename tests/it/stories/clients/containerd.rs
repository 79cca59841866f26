//! containerd, and with it what Docker, `BuildKit` and nerdctl push and pull with.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};

use super::team::{Registry, Team};
use super::{Client, assert_stored};
use crate::support::containerd::{Containerd, Fetch, Version};
use crate::support::layout::{Layout, Packing};
use crate::support::trial::Story;
use crate::support::{FaultProxy, Login, Stack, Store};

pub const CLIENT: Client = Client::Current(Version::Newest.name());

/// Of an image's layers, in bytes: one in several parts, one in one, and one that is smaller than its headers.
const LAYERS: [usize; 3] = [24 << 20, 3 << 19, 2 << 10];
/// Of the ranges that a layer is pulled in: many of the first, two of the second, and less than one.
const RANGE: usize = 1 << 20;
/// A layer that takes some time to come, in bytes, and pulls of it until one was cut in its middle.
const LONG: usize = 96 << 20;
const TURNS: usize = 10;
/// What is pushed with the library, as each calls itself: Docker with its store of containerd's, `BuildKit`, nerdctl, and
/// the daemon as k3s and as Debian build it.
const USER_AGENTS: [&str; 5] = [
    r"docker/29.1.0 go/go1.25.4 git-commit/360952c kernel/6.12.0 os/linux arch/amd64 containerd-client/2.2.0+unknown storage-driver/overlayfs UpstreamClient(Docker-Client/29.1.0 \(linux\))",
    "buildkit/v0.26",
    "containerd/2.2.0+unknown",
    "containerd/v2.2.1-k3s1",
    "containerd/2.2.1~ds1",
];

pub fn cases() -> Vec<Story> {
    vec![
        ("containerd_signs_in_pushes_and_pulls_by_name_and_by_address", |stack| {
            signs_in(stack, Version::Newest).boxed()
        }),
        ("containerd_2_2_signs_in_pushes_and_pulls_by_name_and_by_address", |stack| {
            signs_in(stack, Version::V2_2).boxed()
        }),
        ("containerd_2_1_signs_in_pushes_and_pulls_by_name_and_by_address", |stack| {
            signs_in(stack, Version::V2_1).boxed()
        }),
        ("containerd_goes_on_with_a_layer_where_its_line_broke", resumed),
        ("containerd_pushes_under_the_name_of_whatever_it_is_part_of", named),
    ]
}

/// An image that is like no other of this number.
fn image(stack: &Stack, number: usize) -> Layout {
    let mut layout = Layout::new(stack.folder().join(format!("image-{number}")));
    let image = layout.image("amd64", Packing::TarGzip, &LAYERS.map(|size| size + number * 1000));
    layout.tag("v1", image);
    layout
}

/// This version, signed in.
fn of(stack: &Arc<Stack>, version: Version, login: &Login) -> Containerd {
    Containerd::new(stack, version).signed_in(login)
}

/// What fits into the buffers of two connections each, and of the counting line between, before an answer is read.
const ON_ITS_WAY: u64 = 8 << 20;
/// Layers that are large enough to be redirected.
const REDIRECTED: usize = 2;

/// Whether this one is sent to the bucket. Where the bucket has the registry's name, it would sign in there as well.
pub(super) fn goes_direct(stack: &Stack, version: Version, registry: &Registry) -> bool {
    matches!(stack.store, Store::S3 { .. }) && version != Version::V2_1 && registry.name == "localhost"
}

/// Uploads that the server has sent elsewhere, as its log has them.
pub(super) fn seen_redirected(stack: &Stack) -> usize {
    let logs = stack.whole_logs();
    logs.lines().filter(|line| line.contains("method=\"PUT\"") && line.contains("status=307")).count()
}

async fn signs_in(stack: Arc<Stack>, version: Version) {
    let team = Team::of(&stack).await;
    let [developer, guest] = [&team.developer, &team.guest].map(|login| of(&stack, version, login));
    let stranger = Login { secret: "wrong".to_owned(), ..team.developer.clone() };
    let stranger = of(&stack, version, &stranger);
    let mut redirected = 0;
    for registry in team.registries() {
        let layout = image(&stack, registry.number);
        let there = registry.repository("app:v1");
        let refused = stranger.push(&layout, &there, None).await.refused();
        assert!(refused.contains("401 Unauthorized"), "{refused}");
        let before = team.sent();
        let digest = developer.push(&layout, &there, None).await.done();
        if goes_direct(&stack, version, &registry) {
            redirected += REDIRECTED;
            let sent = team.sent() - before;
            assert!(sent < ON_ITS_WAY, "{sent} bytes of the layers were sent here");
        }
        assert_eq!(seen_redirected(&stack), redirected, "at {}", registry.name);
        let before = team.sent();
        assert_eq!(developer.push(&layout, &there, None).await.done(), digest);
        team.assert_no_layer_sent(before);

        for (name, fetch) in [("whole", Fetch::Whole), ("ranges", Fetch::Ranges(RANGE))] {
            let back = stack.folder().join(format!("{name}-{}", registry.name));
            assert_eq!(guest.pull(&there, &back, fetch).await.done(), digest);
            layout.assert_same_as(&back);
        }
        let refused = guest.push(&layout, &registry.repository("app:v2"), None).await.refused();
        assert!(refused.contains("insufficient_scope"), "{refused}");
    }
    assert_stored(&stack, 2 * (LAYERS.len() + 1)).await;
}

fn resumed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let host = server.base_url().trim_start_matches("http://").to_owned();
        let mut layout = Layout::new(stack.folder().join("image"));
        let image = layout.image("amd64", Packing::Tar, &[LONG]);
        layout.tag("v1", image);
        let containerd = Containerd::new(&stack, Version::Newest);
        let digest = containerd.push(&layout, &format!("{host}/team/app:v1"), None).await.done();
        // The line that breaks is the one that bytes come on: to the bucket, or to the service.
        let (line, broken) = match &stack.store {
            Store::S3 { endpoint, .. } => {
                let line = FaultProxy::in_front_of(endpoint).await;
                let server = stack.server(&["--s3-public-endpoint", line.url().as_str()]).await;
                (line, server)
            }
            Store::Filesystem { .. } => {
                let line = FaultProxy::in_front_of(&server.base_url().parse().expect("a URL")).await;
                (line, server)
            }
        };
        let host = match &stack.store {
            Store::S3 { .. } => broken.base_url(),
            Store::Filesystem { .. } => line.url().as_str(),
        };
        let there = format!("{}/team/app:v1", host.trim_start_matches("http://").trim_end_matches('/'));
        for fetch in [Fetch::Whole, Fetch::Ranges(LONG / 8)] {
            let mut cuts = Vec::new();
            for turn in 0..TURNS {
                let before = line.traffic().to_client;
                let back = stack.folder().join(format!("{fetch:?}-{turn}"));
                let mut pulling = std::pin::pin!(containerd.pull(&there, &back, fetch));
                let mut cut = None;
                let pulled = loop {
                    let come = line.traffic().to_client - before;
                    if cut.is_none() && come > LONG as u64 / 4 {
                        line.cut();
                        cut = Some(come);
                    }
                    if let Ok(pulled) = tokio::time::timeout(Duration::from_millis(1), &mut pulling).await {
                        break pulled;
                    }
                };
                assert_eq!(pulled.done(), digest);
                layout.assert_same_as(&back);
                cuts.extend(cut.filter(|come| *come < LONG as u64 * 3 / 4));
                // What had come before the cut does not come again, but of ranges those that were under way.
                let come = line.traffic().to_client - before;
                let most =
                    LONG as u64 * 9 / 8 + if fetch == Fetch::Whole { 0 } else { cut.unwrap_or_default() };
                assert!(come < most, "{come} of {LONG}, cut at {cut:?}");
                if !cuts.is_empty() {
                    break;
                }
            }
            assert!(!cuts.is_empty(), "no cut fell into the middle of a pull");
        }
    }
    .boxed()
}

fn named(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let team = Team::of(&stack).await;
        let [registry, _]: [Registry; 2] = team.registries();
        let developer = of(&stack, Version::Newest, &team.developer);
        for (number, user_agent) in USER_AGENTS.into_iter().enumerate() {
            let (layout, there) = (image(&stack, number), registry.repository(format!("app:v{number}")));
            let digest = developer.push(&layout, &there, Some(user_agent)).await.done();
            let is_direct = goes_direct(&stack, Version::Newest, &registry);
            let redirected = if is_direct { REDIRECTED * (number + 1) } else { 0 };
            assert_eq!(seen_redirected(&stack), redirected, "{user_agent}");
            let back = stack.folder().join(format!("back-{number}"));
            assert_eq!(developer.pull(&there, &back, Fetch::Whole).await.done(), digest);
            layout.assert_same_as(&back);
        }
        assert_stored(&stack, USER_AGENTS.len() * (LAYERS.len() + 1)).await;
    }
    .boxed()
}
