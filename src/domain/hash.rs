//! SHA-256 that can be put down and taken up again: the state of a proxied upload lives in the database,
//! so a chunked upload goes on after a restart or on another replica.

use sha2::Digest as _;
use sha2::digest::common::hazmat::SerializableState;

use super::digest::Digest;

/// Length of a saved SHA-256 state in bytes: eight words, the block count, the pending block.
pub const HASH_STATE_LENGTH: usize = 104;

/// A running SHA-256.
#[derive(Debug, Clone, Default)]
pub struct Hasher(sha2::Sha256);

/// A saved state that this build cannot take up.
#[derive(Debug, thiserror::Error)]
#[error("not a saved SHA-256 state of {HASH_STATE_LENGTH} bytes")]
pub struct InvalidHashState;

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    #[must_use]
    pub fn finish(self) -> Digest {
        Digest::from_sha256(self.0.finalize().into())
    }

    /// The state after the bytes so far.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        self.0.serialize().to_vec()
    }

    /// Goes on from a saved state.
    pub fn resume(state: &[u8]) -> Result<Self, InvalidHashState> {
        let state = state.try_into().map_err(|_| InvalidHashState)?;
        sha2::Sha256::deserialize(&state).map(Self).map_err(|_| InvalidHashState)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn saving_and_resuming_anywhere_changes_nothing(data: Vec<u8>, cut: prop::sample::Index) {
            let cut = cut.index(data.len() + 1);
            let mut first = Hasher::default();
            first.update(&data[..cut]);
            let state = first.save();
            prop_assert_eq!(state.len(), HASH_STATE_LENGTH);
            let mut second = Hasher::resume(&state).map_err(|e| TestCaseError::fail(e.to_string()))?;
            second.update(&data[cut..]);
            let mut whole = Hasher::default();
            whole.update(&data);
            prop_assert_eq!(second.finish(), whole.finish());
        }
    }

    #[test]
    fn a_state_of_another_length_is_refused() {
        assert!(Hasher::resume(&[0; 103]).is_err());
        assert!(Hasher::resume(&[0; 105]).is_err());
    }
}
