//! What keeps the service going, and within its limits.

// The log of who did what.
mod audit;
// What is temporary and over goes.
mod cleanup;
// What no repository has any more goes.
mod garbage;
// Limits on what is sent, and bad input.
mod limits;
// Limits that an administrator sets while the service runs.
mod limits_at_run_time;
// Room in projects.
pub(super) mod quotas;
// What receivers of webhooks are told of.
mod webhooks;

use super::Group;
use crate::support::Shows;

pub fn groups() -> Vec<Group> {
    vec![
        Group::new("upkeep::limits", Shows::Databases, limits::cases()),
        Group::new("upkeep::limits", Shows::Databases, limits::input::cases()),
        Group::new("upkeep::limits", Shows::Once, limits::connections::cases()),
        Group::new("upkeep::limits_at_run_time", Shows::Databases, limits_at_run_time::cases()),
        Group::new("upkeep::audit", Shows::Databases, audit::cases()),
        Group::new("upkeep::cleanup", Shows::Everything, cleanup::cases()),
        Group::new("upkeep::garbage", Shows::Everything, garbage::cases()),
        Group::new("upkeep::webhooks", Shows::Databases, webhooks::cases()),
        Group::new("upkeep::quotas", Shows::Databases, quotas::cases()),
    ]
}
