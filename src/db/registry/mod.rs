//! Blobs, manifests, tags, files and the Hub's repositories.

// Published blobs.
pub(super) mod blobs;
// Locks on files.
pub(super) mod file_locks;
// Links of many blobs at once.
pub(super) mod link_batches;
// Files by their paths.
pub(super) mod files;
// Repositories of the Hugging Face Hub: trees, commits, references.
pub(super) mod hub;
// Repositories that have a blob.
pub(super) mod links;
// Manifests and what they refer to.
pub(super) mod manifests;
// Where somebody may read a blob.
pub(super) mod readers;
// Manifests about a manifest.
pub(super) mod referrers;
// Removes blobs that no repository has.
pub(super) mod removal;
// All blobs that are said to be in their place.
pub(super) mod scrub;
// Lists tags, blobs and repositories.
pub(super) mod tags;
