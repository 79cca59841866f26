//! What is there is not sent again.

use std::sync::Arc;

use url::Url;

use super::super::{NAME, assert_stored, server};
use super::{Skopeo, at};
use crate::support::layout::{Layout, Packing};
use crate::support::process::Server;
use crate::support::{FaultProxy, Servers, Stack, StackKind};

/// Of each layer, in bytes: far more than all that is said about an image.
const LAYER: usize = 400_000;
const LAYERS: [usize; 3] = [LAYER; 3];

/// The server, and a wire to it whose bytes are counted.
async fn counted(server: &Server) -> FaultProxy {
    FaultProxy::in_front_of(&Url::parse(server.base_url()).expect("a URL")).await
}

/// An image of three layers in a layout of its own, tagged `v1`.
fn image(skopeo: &Skopeo) -> Layout {
    let mut layout = skopeo.layout("image");
    let image = layout.image("amd64", Packing::TarGzip, &LAYERS);
    layout.tag("v1", image);
    layout
}

#[track_caller]
fn assert_no_layer_sent(wire: &FaultProxy, before: u64) {
    let sent = wire.traffic().to_target - before;
    assert!(sent < LAYER as u64, "{sent} bytes were sent");
}

pub async fn again(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let wire = counted(&server).await;
    let skopeo = Skopeo::new(&stack, "ours");
    let layout = image(&skopeo);
    let there = |tag: &str| at(wire.url().as_str(), &format!("{NAME}:{tag}"));
    skopeo.copy(&[], &layout.reference("v1"), &there("v1")).await;
    let before = wire.traffic().to_target;
    assert!(before > 3 * LAYER as u64, "all three went through this wire");

    skopeo.copy(&[], &layout.reference("v1"), &there("v2")).await;
    // On a machine that has never pushed it, nobody knows but the registry.
    Skopeo::new(&stack, "theirs").copy(&[], &layout.reference("v1"), &there("v3")).await;
    assert_no_layer_sent(&wire, before);
    assert_stored(&stack, LAYERS.len() + 1).await;
}

pub async fn mounted(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let wire = counted(&server).await;
    let skopeo = Skopeo::new(&stack, "ours");
    let layout = image(&skopeo);
    let [ours, theirs] = ["ours/app:v1", "theirs/other/app:v1"].map(|name| at(wire.url().as_str(), name));
    skopeo.copy(&[], &layout.reference("v1"), &ours).await;

    let before = wire.traffic();
    skopeo.copy(&[], &ours, &theirs).await;
    assert_no_layer_sent(&wire, before.to_target);
    let read = wire.traffic().to_client - before.to_client;
    assert!(read < LAYER as u64, "{read} bytes were read");
    assert_stored(&stack, LAYERS.len() + 1).await;
    // It is the other repository's own: what becomes of the first one is no matter.
    skopeo.run(&["delete", "--tls-verify=false", &ours]).await;
    skopeo.copy(&[], &theirs, &skopeo.folder("back")).await;
    layout.assert_same_as(&skopeo.path("back"));
}

pub async fn elsewhere(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let other = Stack::fresh(StackKind::SqliteFilesystem, &Servers::from_environment()).await;
    let elsewhere = other.server(&[]).await;
    let skopeo = Skopeo::new(&stack, "ours");
    let layout = image(&skopeo);
    let [here, there] =
        [server.base_url(), elsewhere.base_url()].map(|base_url| at(base_url, &format!("{NAME}:v1")));
    skopeo.copy(&[], &layout.reference("v1"), &here).await;
    skopeo.copy(&[], &here, &there).await;
    skopeo.copy(&[], &there, &skopeo.folder("back")).await;
    layout.assert_same_as(&skopeo.path("back"));
    assert_stored(&other, LAYERS.len() + 1).await;
}
