//! End-to-end stories: the real binary, the real servers, plain HTTP. Each runs on every stack.

mod smoke;

use crate::support::trial::Story;

/// Every module of stories with its name.
pub fn all() -> Vec<(&'static str, Vec<Story>)> {
    vec![("smoke", smoke::cases())]
}
