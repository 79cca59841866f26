//! Pure types and the upload state machine. Imports nothing else of this crate.

pub mod access;
pub mod account;
pub mod address;
pub mod audit;
pub mod blob;
pub mod clock;
pub mod digest;
pub mod hash;
pub mod limits;
pub mod manifest;
pub mod media_type;
pub mod midstate;
pub mod name;
pub mod pace;
pub mod part;
pub mod project;
pub mod quota;
pub mod range;
pub mod reference;
pub mod secret;
pub mod settings;
pub mod upload;
