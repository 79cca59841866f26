//! Limits and bad input: each is refused in clear words, and what was there before is as it was.

mod bodies;
mod connections;
mod fairness;
mod full;
mod input;
mod memory;
pub(super) mod raw;
mod resent;
mod sizes;
mod unsigned;
mod urls;

use crate::support::trial::Story;

const NAME: &str = "team/app/model";

pub fn cases() -> Vec<Story> {
    [
        input::cases(),
        sizes::cases(),
        bodies::cases(),
        urls::cases(),
        unsigned::cases(),
        memory::cases(),
        connections::cases(),
        fairness::cases(),
        full::cases(),
        resent::cases(),
    ]
    .concat()
}
