//! The service and its commands as people run them: help, exit codes, logs, health, settings.

// `migrate`, `quickstart`, `put` and `get`.
mod commands;
// `overside doctor`.
mod doctor;
// What the README and `docs/` tell people to type.
mod documents;
// A way to a server that can be shut and opened again.
mod door;
// What the service keeps on its own disk.
mod files;
// `/healthz` and `/readyz`.
mod health;
// What is logged, and what never is.
mod logs;
// `/openapi.json` and `/docs`.
mod openapi;
// What was seen of a bucket is kept for whoever starts next.
mod probe;
// Where URLs lead to, and where things lie in the bucket.
mod settings;
// `--help`, exit codes and messages.
mod usage;

use super::Group;
use crate::support::{Servers, Shows};

pub fn groups(servers: &Servers) -> Vec<Group> {
    let stories = [
        usage::cases(),
        health::cases(),
        logs::cases(),
        commands::cases(),
        settings::cases(),
        files::cases(),
    ];
    let stories_of_stores = [doctor::cases(), probe::cases()];
    vec![
        Group::new("service", Shows::Databases, stories.concat()),
        Group::new("service", Shows::Everything, stories_of_stores.concat()),
        Group::new("service::openapi", Shows::Once, openapi::cases()),
        // A reader begins with the embedded default.
        Group::new("service::documents", Shows::Once, documents::cases()).if_there(servers.skopeo.is_some()),
    ]
}
