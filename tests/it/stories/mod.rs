//! End-to-end stories: the real binary, the real servers, plain HTTP. Each runs on every stack.

mod access;
mod api;
mod attacks;
mod audit;
mod browser;
mod cleanup;
mod client;
mod clients;
mod clocks;
mod concurrency;
mod crash;
mod documents;
mod garbage;
mod large;
mod lifetime;
mod limits;
mod limits_at_run_time;
mod protocol;
mod quotas;
mod redirected;
mod registry;
mod service;
mod slow_store;
mod smoke;

use crate::support::trial::Story;
use crate::support::{Servers, Shows};

/// Stories of one module that show the same and need the same.
pub struct Group {
    pub module: &'static str,
    pub shows: Shows,
    /// Whether what they need is there, besides their stacks.
    pub is_there: bool,
    pub stories: Vec<Story>,
}

/// Every story there is, but for those of [`on_every_store`].
pub fn all(servers: &Servers) -> Vec<Group> {
    let group = |module, shows, stories| Group { module, shows, is_there: true, stories };
    let mut groups = vec![
        group("smoke", Shows::Everything, smoke::cases()),
        group("protocol", Shows::Everything, protocol::cases()),
        group("registry", Shows::Databases, registry::cases()),
        group("access", Shows::Databases, access::cases()),
        group("limits", Shows::Everything, limits::cases()),
        group("limits", Shows::Databases, limits::input::cases()),
        group("limits", Shows::Once, limits::connections::cases()),
        group("limits_at_run_time", Shows::Databases, limits_at_run_time::cases()),
        group("audit", Shows::Databases, audit::cases()),
        group("lifetime", Shows::Everything, lifetime::cases()),
        group("cleanup", Shows::Everything, cleanup::cases()),
        group("concurrency", Shows::Everything, concurrency::cases()),
        group("concurrency", Shows::Databases, concurrency::cases_of_crowds()),
        group("crash", Shows::Everything, crash::cases()),
        group("crash", Shows::Replicas, crash::cases_of_redirects()),
        group("garbage", Shows::Everything, garbage::cases()),
        group("quotas", Shows::Databases, quotas::cases()),
        group("redirected", Shows::Replicas, redirected::cases()),
        group("service", Shows::Databases, service::cases()),
        group("service", Shows::Everything, service::cases_of_stores()),
        group("api", Shows::Databases, api::cases()),
        group("slow_store", Shows::Everything, slow_store::cases()),
        group("large", Shows::Everything, large::cases()),
        Group { is_there: servers.faketime.is_some(), ..group("clocks", Shows::Replicas, clocks::cases()) },
        Group {
            is_there: servers.chromium.is_some(),
            ..group("browser", Shows::Databases, browser::cases())
        },
        // A reader begins with the embedded default.
        Group { is_there: servers.skopeo.is_some(), ..group("documents", Shows::Once, documents::cases()) },
    ];
    groups.extend(client::groups(servers));
    groups.extend(clients::groups(servers));
    groups
}

/// What must hold on whatever store there is: a step of their own, on the stores of `scripts/test --stores`.
pub fn on_every_store() -> Vec<(&'static str, Vec<Story>)> {
    vec![("attacks", attacks::cases())]
}
