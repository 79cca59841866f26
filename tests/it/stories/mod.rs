//! End-to-end stories: the real binary, the real servers, plain HTTP. Each runs on every stack.

mod access;
mod api;
mod attacks;
mod audit;
pub mod browser;
mod cleanup;
pub mod client;
pub mod clients;
pub mod clocks;
mod concurrency;
mod crash;
pub mod documents;
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

/// Every module of stories with its name, but for those that need more than a stack: see [`client`], [`clients`],
/// [`clocks`], [`documents`] and [`browser`].
pub fn all() -> Vec<(&'static str, Vec<Story>)> {
    vec![
        ("smoke", smoke::cases()),
        ("protocol", protocol::cases()),
        ("registry", registry::cases()),
        ("access", access::cases()),
        ("limits", limits::cases()),
        ("limits_at_run_time", limits_at_run_time::cases()),
        ("audit", audit::cases()),
        ("lifetime", lifetime::cases()),
        ("cleanup", cleanup::cases()),
        ("concurrency", concurrency::cases()),
        ("crash", crash::cases()),
        ("garbage", garbage::cases()),
        ("quotas", quotas::cases()),
        ("service", service::cases()),
        ("api", api::cases()),
        ("slow_store", slow_store::cases()),
        ("large", large::cases()),
    ]
}

/// What must hold on whatever store there is: a step of their own, on the stores of `scripts/test --stores`.
pub fn on_every_store() -> Vec<(&'static str, Vec<Story>)> {
    vec![("attacks", attacks::cases())]
}
