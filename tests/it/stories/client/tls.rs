//! Registries behind TLS.

use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    Vec::new()
}
