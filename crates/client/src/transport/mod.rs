//! Requests to a registry and to the hosts that it leads to: where they may go, how they sign in, when they are repeated,
//! and how their answers are read.
//!
//! ```text
//! builder ──> registry                            the connection that all requests share
//! call ──> auth ──> token_service                 signed in, where the password may go
//!    ├───> retry                                  what a failure leaves to try, how often, and that it is reported
//!    ├───> answer                                 refused in the other side's own words
//!    └───> destination ──> tls                    to no host that a registry has no reason to name
//! ```

pub(crate) mod address;
pub(crate) mod answer;
pub(crate) mod auth;
pub(crate) mod builder;
pub(crate) mod call;
pub(crate) mod destination;
pub(crate) mod rate;
pub(crate) mod registry;
pub(crate) mod retry;
mod tls;
mod token_service;

use std::time::Duration;

/// For calls that only read or write a row; the longest of them lists 10,000 parts at the store.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// A transfer that moves no byte for so long is given up and begun again.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_mins(1);
