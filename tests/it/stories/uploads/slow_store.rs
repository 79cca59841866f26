//! Stores that copy slowly, badly or not at all: every upload is published all the same.

mod copies;
mod tails;

use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    [tails::cases(), copies::cases()].concat()
}
