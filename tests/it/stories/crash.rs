//! (being written)

use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    vec![]
}
