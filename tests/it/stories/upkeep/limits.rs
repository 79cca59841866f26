//! Limits and bad input: each is refused in clear words, and what was there before is as it was.

mod bodies;
pub mod connections;
mod fairness;
mod full;
pub mod input;
mod memory;
mod resent;
mod sizes;
mod unsigned;
mod urls;

use crate::support::trial::Story;

const NAME: &str = "team/app/model";

/// The stories about bodies: what each store does with them is part of the answer. See also [`input`] and [`connections`].
pub fn cases() -> Vec<Story> {
    [
        sizes::cases(),
        bodies::cases(),
        urls::cases(),
        unsigned::cases(),
        memory::cases(),
        fairness::cases(),
        full::cases(),
        resent::cases(),
    ]
    .concat()
}
