//! Upload sessions, from the first row to the blob in its place.

// Begins, finds and prolongs the sessions of a batch.
pub(super) mod batches;
// Completes a session, with its blob and its link.
pub(super) mod commit;
// Parts that this service stored for a proxied upload.
pub(super) mod parts;
// Blobs on their way to their content-addressed path.
pub(super) mod placing;
// Sessions of redirected clients, to look at.
pub(super) mod redirected;
// Begins and finds sessions.
pub(super) mod sessions;
// Moves a session from one state to the next.
pub(super) mod swap;
// Sessions that are due, and what ended ones left.
pub(super) mod sweep;
