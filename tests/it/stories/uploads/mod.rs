//! Uploads: from the session's first request to the blob in its place, whatever happens on the way.

// What the holder of an upload URL can do with headers that were not signed.
pub(super) mod attacks;
// Replicas whose clocks are minutes apart.
mod clocks;
// Many clients, replicas and cleaners at once.
mod concurrency;
// `kill -9` between any two steps.
mod crash;
// Gigabytes, in constant memory.
mod large;
// What has a time: URLs, sessions, and the service's own processes.
mod lifetime;
// The presign protocol, endpoint by endpoint.
mod protocol;
// Stock clients that follow a redirect to the bucket.
mod redirected;
// Stores that copy slowly, badly or not at all.
mod slow_store;
// One upload from the beginning to the end.
mod smoke;

use super::Group;
use crate::support::{Servers, Shows};

pub fn groups(servers: &Servers) -> Vec<Group> {
    vec![
        Group::new("uploads::smoke", Shows::Everything, smoke::cases()),
        Group::new("uploads::protocol", Shows::Everything, protocol::cases()),
        Group::new("uploads::lifetime", Shows::Databases, lifetime::cases()),
        Group::new("uploads::concurrency", Shows::Databases, concurrency::cases()),
        Group::new("uploads::concurrency", Shows::Databases, concurrency::cases_of_crowds()),
        Group::new("uploads::crash", Shows::Everything, crash::cases()),
        Group::new("uploads::crash", Shows::Replicas, crash::cases_of_databases()),
        Group::new("uploads::crash", Shows::Replicas, crash::cases_of_redirects()),
        Group::new("uploads::redirected", Shows::Replicas, redirected::cases()),
        Group::new("uploads::slow_store", Shows::Databases, slow_store::cases()),
        Group::new("uploads::large", Shows::Everything, large::cases()),
        Group::new("uploads::clocks", Shows::Replicas, clocks::cases()).if_there(servers.faketime.is_some()),
    ]
}
