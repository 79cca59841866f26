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
mod registry;
mod service;
mod slow_store;
mod smoke;

use crate::support::trial::Story;
use crate::support::{Servers, Shows};

/// Whether what stories need is there, besides their stacks.
pub type IsThere = fn(&Servers) -> bool;

/// Stories that are about the same and need the same.
pub struct Group {
    pub module: &'static str,
    pub shows: Shows,
    pub is_there: IsThere,
    pub stories: Vec<Story>,
}

const fn group(module: &'static str, shows: Shows, stories: Vec<Story>) -> Group {
    needing(|_| true, module, shows, stories)
}

const fn needing(is_there: IsThere, module: &'static str, shows: Shows, stories: Vec<Story>) -> Group {
    Group { module, shows, is_there, stories }
}

/// Every story there is, but for those of [`on_every_store`].
pub fn all() -> Vec<Group> {
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
        group("garbage", Shows::Everything, garbage::cases()),
        group("quotas", Shows::Databases, quotas::cases()),
        group("service", Shows::Databases, service::cases()),
        group("service", Shows::Everything, service::cases_of_stores()),
        group("api", Shows::Databases, api::cases()),
        group("slow_store", Shows::Everything, slow_store::cases()),
        group("large", Shows::Everything, large::cases()),
        needing(|servers| servers.faketime.is_some(), "clocks", Shows::Replicas, clocks::cases()),
        needing(|servers| servers.chromium.is_some(), "browser", Shows::Databases, browser::cases()),
        // A reader begins with the embedded default.
        needing(|servers| servers.skopeo.is_some(), "documents", Shows::Once, documents::cases()),
    ];
    groups.extend(client::groups());
    groups.extend(clients::groups());
    groups
}

/// What must hold on whatever store there is: a step of their own, on the stores of `scripts/test --stores`.
pub fn on_every_store() -> Vec<(&'static str, Vec<Story>)> {
    vec![("attacks", attacks::cases())]
}
