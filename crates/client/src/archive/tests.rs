//! Archives as others write them, as nobody should, and as we do.

#![expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]

mod makers;
mod malformed;
mod read;
mod refuse;
mod sparse;
mod write;
