//! The midstates of SHA-256 that are collected while a file is hashed: with them the server verifies its parts side by side.

use overside_protocol::hash::Hasher;
use overside_protocol::midstate::Midstate;
use overside_protocol::part::PartPlan;
use serde::{Deserialize, Serialize};

/// There is one midstate for so many bytes: part sizes are whole MiB.
pub(crate) const STEP: u64 = 1024 * 1024;
/// The most midstates that are kept: 32 MiB of them, for a file of 1 TiB. Larger ones go without.
const MOST: usize = 1024 * 1024;

/// The midstates of a file, one for each MiB.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Midstates(Vec<Midstate>);

impl Midstates {
    /// Adds the hasher's state after `length` bytes. Called at every step, in order.
    pub(crate) fn note(&mut self, hasher: &Hasher, length: u64) {
        let is_next = length == (self.0.len() as u64 + 1) * STEP;
        if is_next && self.0.len() < MOST {
            self.0.extend(Midstate::of(hasher));
        }
    }

    /// The midstates after each part of a plan but the last; none unless all of them are known.
    #[must_use]
    pub fn between(&self, plan: &PartPlan) -> Vec<Midstate> {
        let boundaries = plan.parts().skip(1).map(|part| self.after(part.offset));
        boundaries.collect::<Option<_>>().unwrap_or_default()
    }

    fn after(&self, offset: u64) -> Option<Midstate> {
        let step = offset.is_multiple_of(STEP).then_some(offset / STEP)?;
        self.0.get(usize::try_from(step.checked_sub(1)?).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use overside_protocol::part::MIN_PART_SIZE;

    use super::*;

    #[test]
    fn the_server_can_go_on_from_what_was_noted_at_every_part() {
        let bytes: Vec<u8> = (0..12_000_000_u32).map(|n| n.to_le_bytes()[usize::from(n % 7 == 0)]).collect();
        let (mut hasher, mut midstates, mut length) = (Hasher::default(), Midstates::default(), 0);
        for block in bytes.chunks(usize::try_from(STEP).unwrap_or_default()) {
            hasher.update(block);
            length += block.len() as u64;
            midstates.note(&hasher, length);
        }
        let plan = PartPlan::new(length, MIN_PART_SIZE).unwrap_or_else(|error| panic!("{error}"));
        let between = midstates.between(&plan);
        assert_eq!(between.len(), 2);
        for (midstate, part) in between.iter().zip(plan.parts().skip(1)) {
            let mut resumed = midstate.resume(part.offset).unwrap_or_else(|| panic!("at {}", part.offset));
            resumed.update(&bytes[usize::try_from(part.offset).unwrap_or_default()..]);
            assert_eq!(resumed.finish(), hasher.clone().finish());
        }
        let other = PartPlan::restore(length, MIN_PART_SIZE + 1).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(midstates.between(&other), []);
    }
}
