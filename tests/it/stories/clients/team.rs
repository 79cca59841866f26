//! A team that signs in: what every client of today is tried with, under each name that loopback has.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use overside::domain::access::Role;
use url::Url;

use super::{Client, Machine};
use crate::support::accounts::{Accounts, Login};
use crate::support::layout::{Layout, Packing};
use crate::support::process::Server;
use crate::support::{FaultProxy, Stack};

/// What people write for a registry on their own machine. Clients have rules for each: which of them is spoken to in
/// plain HTTP, and which token services and buckets a registry of that name may send them to.
const HOSTS: [&str; 2] = ["localhost", "127.0.0.1"];
/// Of each image's layers, in bytes: one in several parts, and a small one.
pub const LAYERS: [usize; 2] = [6_000_000, 70_000];

/// A server where people sign in, and who may push and who may only pull in its project `team`.
#[derive(Debug)]
pub struct Team {
    pub stack: Arc<Stack>,
    pub developer: Login,
    pub guest: Login,
    wire: FaultProxy,
    _server: Server,
}

/// The registry as it is called there, and a place for images of its own.
#[derive(Debug, Clone)]
pub struct Registry {
    /// `localhost:5000`
    pub host: String,
    /// Tells them apart in names of folders and repositories.
    pub name: &'static str,
    /// And in sizes, by which content differs.
    pub number: usize,
}

impl Team {
    pub async fn of(stack: &Arc<Stack>) -> Self {
        let server = stack.guarded_server(&[]).await;
        let wire = FaultProxy::in_front_of(&Url::parse(server.base_url()).expect("a URL")).await;
        let accounts = Accounts::of(stack).await;
        accounts.project("team", false).await;
        let developer = accounts.user_as("developer", "team", Role::Developer).await;
        let guest = accounts.user_as("guest", "team", Role::Guest).await;
        Self { stack: Arc::clone(stack), developer, guest, wire, _server: server }
    }

    /// Each name that the server has here.
    pub fn registries(&self) -> [Registry; 2] {
        let port = self.wire.url().port().expect("a port of its own");
        [0, 1].map(|number| {
            let name = HOSTS[number];
            Registry { host: format!("{name}:{port}"), name, number }
        })
    }

    /// The machine of one who uses this client there.
    pub(super) fn machine(&self, client: Client, registry: &Registry, login: &Login) -> Machine {
        Machine::new(&self.stack, client, &format!("{}-{}", login.name, registry.name))
    }

    /// Bytes that went to the server since it started.
    pub fn sent(&self) -> u64 {
        self.wire.traffic().to_target
    }

    /// No layer went there since then.
    #[track_caller]
    pub fn assert_no_layer_sent(&self, before: u64) {
        let sent = self.sent() - before;
        // A token request and a few questions for each of some blobs.
        assert!(sent < LAYERS[1] as u64, "{sent} bytes were sent");
    }

    /// An image that is like no other registry's, tagged `v1`.
    pub fn image(&self, registry: &Registry, packing: Packing) -> Layout {
        let mut layout = Layout::new(self.folder(registry).join("image"));
        let image = layout.image("amd64", packing, &LAYERS.map(|size| size + registry.number * 1000));
        layout.tag("v1", image);
        layout
    }

    fn folder(&self, registry: &Registry) -> PathBuf {
        self.stack.folder().join(format!("at-{}", registry.name))
    }
}

impl Registry {
    /// `localhost:5000/team/localhost/app`
    pub fn repository(&self, name: impl Display) -> String {
        format!("{}/team/{}/{name}", self.host, self.name)
    }
}
