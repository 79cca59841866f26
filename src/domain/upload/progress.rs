//! What whoever finalizes an upload is at.

use crate::domain::words::words;

/// How far a finalize has come. `done` of `total` bytes of the phase; a copy that the store makes in one is done all
/// at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    pub done: u64,
    pub total: u64,
}

words! {
    /// The steps that take long.
    Phase {
        /// The store makes one object of the parts.
        Assembling: "assembling",
        /// The store copies it to where no URL writes, or computes its digest by a copy.
        Copying: "copying",
        /// This server reads and hashes it.
        ReadingBack: "reading-back",
        /// It is copied to the blob's place.
        Placing: "placing",
    }
}
