//! One request to a registry, or to wherever it leads: where it may go, who it says it is from, what is tried again, and
//! what came back.
//!
//! ```text
//! client ──> call ──> auth ──> token_service       signed in, where that may be
//!              ├────> retry                        what a failure leaves to try, how often, and that it is shown
//!              ├────> answer                       refused in the other side's own words
//!              └────> destination ──> tls          nowhere that a registry has no reason to name
//! ```

pub(crate) mod address;
pub(crate) mod answer;
pub(crate) mod auth;
pub(crate) mod call;
pub(crate) mod client;
pub(crate) mod destination;
pub(crate) mod rate;
pub(crate) mod retry;
mod tls;
mod token_service;

use std::time::Duration;

/// For calls that only read or write a row; the longest of them lists 10,000 parts at the store.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// A transfer that moves no byte for so long is given up and begun again.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_mins(1);
