//! What keeps the service going, and within its limits.

// The audit log.
pub(super) mod audit;
// What one replica does for all.
pub(super) mod chores;
// What each store was last seen to do.
pub(super) mod probes;
// Holds room in a project.
pub(super) mod quotas;
// How many replicas there are.
pub(super) mod replicas;
// What an administrator has set.
pub(super) mod settings;
// What projects have, and counts it anew.
pub(super) mod usage;
// Whom projects tell of what happens in them.
pub(super) mod webhook_policies;
// Delivers events of webhooks in their order.
pub(super) mod webhook_queues;
// Adds events of webhooks that are to be delivered.
pub(super) mod webhooks;
