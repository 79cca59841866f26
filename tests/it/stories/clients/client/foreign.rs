//! Registries that are not Overside and know no presigned URLs: Debian's docker-registry.

mod blobs;
mod copies;
mod images;
mod looks;
mod skopeo;

use futures_util::future::FutureExt;
use url::Url;
use uuid::Uuid;

use crate::support::command_line::host;
use crate::support::servers::Servers;
use crate::support::trial::Story;

/// What meets a foreign registry alone: on which stack does not matter.
pub fn cases_without_us() -> Vec<Story> {
    vec![
        ("a_registry_that_wants_a_password_is_pushed_to_after_login", |s| images::signed_in(s).boxed()),
        ("a_docker_archive_and_an_index_pass_through_a_foreign_registry", |s| images::open_to_all(s).boxed()),
        ("files_pass_through_a_foreign_registry_in_chunks", |s| blobs::files(s).boxed()),
        ("an_upload_goes_on_from_a_foreign_registrys_offset", |s| blobs::refused(s).boxed()),
        ("an_upload_that_a_foreign_registry_loses_begins_anew_by_itself", |s| blobs::lost(s).boxed()),
        ("a_foreign_registry_is_looked_at_and_cleared", |s| looks::story(s).boxed()),
        ("a_copy_within_a_foreign_registry_mounts", |s| copies::mounted(s).boxed()),
    ]
}

/// What goes from our own server to a foreign registry, and back.
pub fn cases() -> Vec<Story> {
    vec![
        ("images_are_copied_to_a_foreign_registry_and_back", |s| copies::images(s).boxed()),
        ("artifacts_take_their_referrers_to_a_foreign_registry_and_back", |s| copies::referrers(s).boxed()),
    ]
}

/// The registry that is open to all.
fn open() -> Url {
    Servers::from_environment().registry.expect("a trial without it is only run when somebody asks for it")
}

/// The one that wants a password.
fn closed() -> Url {
    let registry = Servers::from_environment().registry_with_password;
    registry.expect("a trial without it is only run when somebody asks for it")
}

/// A repository of this story's own: the registries are everybody's, and outlive it.
fn repository(registry: &Url, name: &str) -> String {
    format!("{}/trial-{}/{name}", host(registry.as_str()), Uuid::now_v7().as_simple())
}
