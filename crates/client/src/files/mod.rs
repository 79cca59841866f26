//! Files on the local disk: those that are sent, those that downloads are written to, and the client's own state.

pub(crate) mod hashes;
pub(crate) mod midstates;
pub(crate) mod partial;
pub(crate) mod source;
pub(crate) mod staged;
pub(crate) mod state_file;
