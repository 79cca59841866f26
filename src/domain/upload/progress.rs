//! What whoever finalizes an upload is at.

use std::str::FromStr;

use super::UnknownValue;

/// How far a finalize has come. `done` of `total` bytes of the phase; a copy that the store makes in one is done all
/// at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    pub done: u64,
    pub total: u64,
}

/// The steps that take long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The store makes one object of the parts.
    Assembling,
    /// The store copies it to where no URL writes, or computes its digest by a copy.
    Copying,
    /// This server reads and hashes it.
    ReadingBack,
    /// It is copied to the blob's place.
    Placing,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Assembling, Self::Copying, Self::ReadingBack, Self::Placing];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assembling => "assembling",
            Self::Copying => "copying",
            Self::ReadingBack => "reading-back",
            Self::Placing => "placing",
        }
    }
}

impl FromStr for Phase {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text).ok_or(UnknownValue)
    }
}
