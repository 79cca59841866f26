//! Uploads: from the session's first request to the blob in its place.

// Ends a session whose client has given it up.
mod abort;
// Takes a chunk that goes through this service.
pub(super) mod append;
// Begins the sessions of a batch.
pub(super) mod batch;
// Begins a session.
mod create;
// Proves the digest and publishes the blob.
pub(super) mod finalize;
// Finalizes what a batch began.
mod finish;
// Keeps a session for whoever works on it.
pub(super) mod lease;
// Links a blob that another repository has.
mod mount;
// Begins an upload in parts of lengths that its client does not tell.
pub(super) mod open_parts;
// Counts how far a finalize is.
pub(super) mod progress;
// Appends to an upload of a length that is told, and finalizes it with its last byte.
pub(super) mod resumable;
// Sends a stock client to the store.
mod redirect;
// Takes the bytes of a URL that this service signed itself.
mod receive;
// Finalizes what redirected clients have sent, without being told.
pub(super) mod settle;
// Signs the requests that carry the bytes.
pub(super) mod sign;
// Inserts sessions that begin at the same moment by one statement.
pub(super) mod together;
// Takes a whole blob in one request.
mod whole;
