//! The presign protocol, endpoint by endpoint (DESIGN §3). Snapshots are one text for every stack: a client
//! cannot tell the backends apart.

mod begin;
mod begin_signed;
mod blob;
mod copied;
mod finalize;
mod lost;
mod midstates;
mod parts;
mod presign;
mod proxied;
mod routes;
mod state;
mod untold;

use crate::support::trial::Story;

/// A name with several segments; every endpoint has to cope with it.
const NAME: &str = "team/app/model";

pub fn cases() -> Vec<Story> {
    [
        begin::cases(),
        begin_signed::cases(),
        presign::cases(),
        parts::cases(),
        state::cases(),
        proxied::cases(),
        finalize::cases(),
        lost::cases(),
        midstates::cases(),
        blob::cases(),
        copied::cases(),
        routes::cases(),
        untold::cases(),
    ]
    .concat()
}
