//! End-to-end stories: the real binary, the real servers, plain HTTP. Each runs on every stack.

// Who is there, who somebody is, and what they may do.
mod accounts;
// Clients as people have them: ours, others' and browsers.
mod clients;
// Repositories of the Hugging Face Hub.
mod hub;
// Git LFS on the wire.
mod lfs;
// Artifacts of MLflow.
mod mlflow;
// Models of Ollama.
mod ollama;
// Blobs, manifests and tags.
mod registry;
// The service, its commands and its documents.
mod service;
// Resumable uploads of browsers and phones.
mod tus;
// Cleaning up, the audit log, settings, quotas and limits.
mod upkeep;
// From a session's first request to the blob in its place.
mod uploads;

use crate::support::trial::Story;
use crate::support::{Servers, Shows};

/// Stories of one module that show the same and need the same.
pub struct Group {
    /// The path of the module below this one.
    pub module: &'static str,
    pub shows: Shows,
    /// Whether what they need is there, besides their stacks.
    pub is_there: bool,
    pub stories: Vec<Story>,
}

impl Group {
    const fn new(module: &'static str, shows: Shows, stories: Vec<Story>) -> Self {
        Self { module, shows, is_there: true, stories }
    }

    /// Needs a server or a program that may not be there.
    fn if_there(self, is_there: bool) -> Self {
        Self { is_there, ..self }
    }
}

/// Every story there is, but for those of [`on_every_store`].
pub fn all(servers: &Servers) -> Vec<Group> {
    [
        uploads::groups(servers),
        registry::groups(),
        lfs::groups(),
        accounts::groups(),
        upkeep::groups(),
        service::groups(servers),
        clients::groups(servers),
        mlflow::groups(servers),
        ollama::groups(servers),
        hub::groups(servers),
        tus::groups(servers),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What must hold on whatever store there is: a step of their own, on the stores of `scripts/test --stores`.
pub fn on_every_store() -> Vec<(&'static str, Vec<Story>)> {
    vec![("uploads::attacks", uploads::attacks::cases())]
}
