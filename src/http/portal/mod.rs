//! The page at `/`: it signs in with a session, and does all else by the front doors that programs use. Its sources are in
//! `clients/portal`.

// What its endpoints take and answer, for /openapi.json.
mod described;
// The page and its files.
mod files;
// Begins and ends sessions of browsers.
mod sign_in;

pub(super) use described::described;
pub(super) use files::{file, page};
pub(super) use sign_in::{sign_in, sign_out};
