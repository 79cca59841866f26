//! The local disk: what is read from it to be sent, and what comes to it.

pub(crate) mod hashes;
pub(crate) mod kept;
pub(crate) mod midstates;
pub(crate) mod partial;
pub(crate) mod source;
pub(crate) mod staged;
