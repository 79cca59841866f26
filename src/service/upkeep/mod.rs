//! What keeps the service going, and within its limits.

// Limits on what is under way at once, and on how often somebody asks.
pub(super) mod admission;
// Writes the audit log.
pub(super) mod audit;
// Removes what is temporary and due.
pub(super) mod cleanup;
// Removes blobs that no manifest needs.
pub(super) mod collect;
// Holds room in a project for what is uploaded.
pub(super) mod quotas;
// Tells whether the database and the store answer.
pub(super) mod readiness;
// Compares the rows with the objects.
pub(super) mod scrub;
// What an administrator changes at run time.
pub(super) mod settings;
// Delivers the events of webhooks.
pub(super) mod webhooks;
