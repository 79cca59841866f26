//! SHA-256 midstates: the hash value between two blocks (FIPS 180-4 §6.2.2). With those at the boundaries of its
//! parts a blob can be hashed in parallel.
//!
//! Whoever gives them need not be trusted. SHA-256 goes from one intermediate hash value to the next block by
//! block, and every part is hashed from the value claimed before it to the one claimed after it, the first from
//! the standard's initial value and the last to the digest: if each arrives, the chain is the hash of the whole.
//! Lengths are not the client's to say: block counts follow from the offsets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hash::{Hasher, SHA256_STATE_LENGTH};

/// Midstates exist between blocks of this many bytes.
pub const BLOCK_LENGTH: u64 = 64;
const LENGTH: usize = 32;
const WORD: usize = 4;
/// Where a saved state has its block count.
const BLOCK_COUNT: std::ops::Range<usize> = LENGTH..LENGTH + 8;

/// The eight words H0 to H7, written as 64 hexadecimal digits, most significant first.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Midstate([u8; LENGTH]);

/// A text that is no midstate.
#[derive(Debug, thiserror::Error)]
#[error("a SHA-256 midstate has 64 hexadecimal digits")]
pub struct InvalidMidstate;

impl Midstate {
    /// The value that `hasher` stands at; none in the middle of a block.
    #[must_use]
    pub fn of(hasher: &Hasher) -> Option<Self> {
        let state = hasher.save();
        let (words, rest) = state.split_at_checked(LENGTH)?;
        // Behind the words and the count lies the pending block.
        if rest.get(8..)? != pending_nothing().get(LENGTH + 8..)? {
            return None;
        }
        Some(Self(turned(words.try_into().ok()?)))
    }

    /// A hasher that has taken in `offset` bytes, of which it knows nothing but this value. None where `offset`
    /// lies in the middle of a block.
    #[must_use]
    pub fn resume(&self, offset: u64) -> Option<Hasher> {
        if !offset.is_multiple_of(BLOCK_LENGTH) {
            return None;
        }
        let mut state = pending_nothing();
        state.get_mut(..LENGTH)?.copy_from_slice(&turned(self.0));
        state.get_mut(BLOCK_COUNT)?.copy_from_slice(&(offset / BLOCK_LENGTH).to_le_bytes());
        Hasher::resume(&state).ok()
    }
}

fn pending_nothing() -> Vec<u8> {
    let state = Hasher::default().save();
    debug_assert_eq!(state.len(), SHA256_STATE_LENGTH);
    state
}

/// From the little-endian words of a saved state to the standard's, and back.
fn turned(mut words: [u8; LENGTH]) -> [u8; LENGTH] {
    for word in words.chunks_exact_mut(WORD) {
        word.reverse();
    }
    words
}

impl fmt::Display for Midstate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Midstate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Midstate {
    type Err = InvalidMidstate;

    fn from_str(text: &str) -> Result<Self, InvalidMidstate> {
        let mut words = [0; LENGTH];
        hex::decode_to_slice(text, &mut words).map_err(|_| InvalidMidstate)?;
        Ok(Self(words))
    }
}

impl TryFrom<String> for Midstate {
    type Error = InvalidMidstate;

    fn try_from(text: String) -> Result<Self, InvalidMidstate> {
        text.parse()
    }
}

impl From<Midstate> for String {
    fn from(midstate: Midstate) -> Self {
        midstate.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashed(bytes: &[u8]) -> Hasher {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher
    }

    proptest! {
        #[test]
        fn going_on_from_a_midstate_is_going_on_from_the_bytes(data: Vec<u8>, cut: prop::sample::Index) {
            let cut = cut.index(data.len() + 1);
            let (before, after) = data.split_at(cut);
            let midstate = Midstate::of(&hashed(before));
            prop_assert_eq!(midstate.is_some(), cut % 64 == 0);
            if let Some(midstate) = midstate {
                let text = midstate.to_string();
                prop_assert_eq!(text.parse::<Midstate>().ok(), Some(midstate));
                let mut resumed = midstate.resume(cut as u64).ok_or_else(|| TestCaseError::fail("refused"))?;
                resumed.update(after);
                prop_assert_eq!(resumed.finish(), hashed(&data).finish());
            }
        }

        #[test]
        fn a_midstate_fits_no_other_offset(blocks in 1u64..1000, other in 0u64..1000) {
            prop_assume!(blocks != other);
            let midstate = Midstate::of(&hashed(&[7; 64])).ok_or_else(|| TestCaseError::fail("none"))?;
            let digest = |blocks: u64| midstate.resume(blocks * 64).map(Hasher::finish);
            prop_assert_ne!(digest(blocks), digest(other));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,80}") {
            let _ = text.parse::<Midstate>();
        }
    }

    #[test]
    fn the_first_midstate_is_the_initial_hash_value_of_the_standard() {
        let initial = "6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19";
        assert_eq!(
            Midstate::of(&Hasher::default()).map(|midstate| midstate.to_string()).as_deref(),
            Some(initial)
        );
    }

    #[test]
    fn an_offset_inside_a_block_has_no_midstate() {
        assert!(Midstate::of(&hashed(&[0; 65])).is_none());
        let initial = Midstate::of(&Hasher::default());
        assert!(initial.is_some_and(|midstate| midstate.resume(63).is_none()));
    }
}
