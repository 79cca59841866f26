//! What keeps the service going, and within its limits.

// What an administrator changes at run time.
pub(super) mod configurations;
// Reads the audit log.
pub(super) mod logs;
// Limits of projects, and what they have.
pub(super) mod quotas;
