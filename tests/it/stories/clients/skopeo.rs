//! skopeo, and with it what podman, buildah and CRI-O pull and push with.

mod copies;
mod images;
mod login;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use futures_util::future::FutureExt;
use serde_json::Value;

use super::{Client, Machine, host, json};
use crate::support::Stack;
use crate::support::layout::Layout;
use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    vec![
        ("skopeo_pushes_an_image_and_pulls_it_byte_by_byte", |s| images::layout(s).boxed()),
        ("skopeo_pushes_a_docker_archive_and_pulls_it_byte_by_byte", |s| images::docker_archive(s).boxed()),
        ("skopeo_pushes_a_multi_platform_image_and_pulls_all_of_it_or_one", |s| images::index(s).boxed()),
        ("skopeo_preserves_the_digests_of_uncompressed_layers", |s| images::preserved(s).boxed()),
        ("skopeo_converts_images_to_dockers_schema_2", |s| images::schema_2(s).boxed()),
        ("skopeo_inspects_lists_and_deletes_what_it_pushed", |s| images::looked_at(s).boxed()),
        ("skopeo_sends_no_layer_of_an_image_that_is_there", |s| copies::again(s).boxed()),
        ("skopeo_sends_no_layer_from_one_repository_to_another", |s| copies::mounted(s).boxed()),
        ("skopeo_brings_what_is_missing_of_an_image_to_another_registry", |s| copies::elsewhere(s).boxed()),
        ("skopeo_signs_in_and_does_what_each_role_may", |s| login::roles(s).boxed()),
        ("skopeo_signs_in_pushes_and_pulls_by_name_and_by_address", |s| login::names_of_loopback(s).boxed()),
        ("skopeo_pulls_without_signing_in_what_is_public", |s| login::anonymous(s).boxed()),
        ("large_images_pass_through_skopeo_byte_by_byte", |s| images::large(s).boxed()),
    ]
}

/// skopeo on one machine.
pub struct Skopeo {
    machine: Machine,
}

impl Skopeo {
    pub fn new(stack: &Arc<Stack>, name: &str) -> Self {
        Self { machine: Machine::new(stack, Client::Skopeo, name) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.command();
        // Else root's memory of which blob is where would be the whole system's.
        command.env("_CONTAINERS_ROOTLESS_UID", "1");
        // The same of who is signed in.
        command.env("REGISTRY_AUTH_FILE", self.path("auth.json"));
        command.arg("--insecure-policy").arg("--tmpdir").arg(&self.machine.home).args(arguments);
        command
    }

    async fn run(&self, arguments: &[&str]) -> String {
        self.machine.done(&mut self.command(arguments)).await
    }

    async fn refused(&self, arguments: &[&str]) -> String {
        self.machine.refused(&mut self.command(arguments)).await
    }

    pub async fn copy(&self, flags: &[&str], from: &str, to: &str) {
        let plain_http = ["--src-tls-verify=false", "--dest-tls-verify=false"];
        self.run(&[&["copy"], &plain_http[..], flags, &[from, to]].concat()).await;
    }

    /// What `inspect` prints with these flags.
    async fn inspect(&self, flags: &[&str], image: &str) -> String {
        self.run(&[&["inspect", "--tls-verify=false"], flags, &[image]].concat()).await
    }

    /// The manifest's exact bytes.
    pub async fn raw(&self, image: &str) -> Vec<u8> {
        self.inspect(&["--raw"], image).await.into_bytes()
    }

    async fn tags(&self, repository: &str) -> Value {
        json(&self.run(&["list-tags", "--tls-verify=false", repository]).await)["Tags"].take()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.machine.home.join(name)
    }

    pub fn layout(&self, name: &str) -> Layout {
        Layout::new(self.path(name))
    }

    /// `oci:FOLDER:v1`
    pub fn folder(&self, name: &str) -> String {
        format!("oci:{}:v1", self.path(name).display())
    }
}

/// `docker://127.0.0.1:5000/NAME`
pub fn at(base_url: &str, name: &str) -> String {
    format!("docker://{}/{name}", host(base_url))
}
