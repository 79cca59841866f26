//! What keeps the service going, and within its limits.

// What replicas tell each other of requests under way.
pub(super) mod activity;
// The audit log.
pub(super) mod audit;
// What one replica does for all.
pub(super) mod chores;
// What each store was last seen to do.
pub(super) mod probes;
// Holds room in a project.
pub(super) mod quotas;
// What an administrator has set.
pub(super) mod settings;
// What projects have, and counts it anew.
pub(super) mod usage;
