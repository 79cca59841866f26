//! Images go up out of archives and layouts and come back the same, as skopeo sees them.

use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    Vec::new()
}
