//! Files and folders: put, get, ls, tags, rm, inspect, referrers.

use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    Vec::new()
}
