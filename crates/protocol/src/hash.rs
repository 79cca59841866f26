//! Hashes that can be put down and taken up again: the state of a proxied upload lives in the database, so a
//! chunked upload goes on after a restart or on another replica.

use sha2::Digest as _;
use sha2::digest::common::hazmat::SerializableState;

use crate::digest::{Algorithm, Digest};

/// Length of a saved SHA-256 state in bytes: eight words, the block count, the pending block.
pub const SHA256_STATE_LENGTH: usize = 104;
/// Of a saved SHA-512 state: eight words of 8 bytes, a block count of 16, the pending block.
pub const SHA512_STATE_LENGTH: usize = 208;

/// A running hash. SHA-256 unless something else is asked for.
#[derive(Debug, Clone)]
pub enum Hasher {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

/// A saved state that this build cannot take up.
#[derive(Debug, thiserror::Error)]
#[error("not a saved SHA-256 state of {SHA256_STATE_LENGTH} bytes or SHA-512 state of {SHA512_STATE_LENGTH}")]
pub struct InvalidHashState;

impl Default for Hasher {
    fn default() -> Self {
        Self::new(Algorithm::default())
    }
}

impl Hasher {
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::default()),
            Algorithm::Sha512 => Self::Sha512(sha2::Sha512::default()),
        }
    }

    /// The digest of bytes that are all here.
    #[must_use]
    pub fn digest(algorithm: Algorithm, bytes: &[u8]) -> Digest {
        let mut hasher = Self::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    #[must_use]
    pub fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => Digest::Sha256(hasher.finalize().into()),
            Self::Sha512(hasher) => Digest::Sha512(hasher.finalize().into()),
        }
    }

    /// The state after the bytes so far. Its length tells the algorithm.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        match self {
            Self::Sha256(hasher) => hasher.serialize().to_vec(),
            Self::Sha512(hasher) => hasher.serialize().to_vec(),
        }
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    ///
    /// [`InvalidHashState`]: the state has no algorithm's length, or says what none can.
    pub fn resume(state: &[u8]) -> Result<Self, InvalidHashState> {
        match state.len() {
            SHA256_STATE_LENGTH => {
                let state = state.try_into().map_err(|_| InvalidHashState)?;
                sha2::Sha256::deserialize(&state).map(Self::Sha256).map_err(|_| InvalidHashState)
            }
            SHA512_STATE_LENGTH => {
                let state = state.try_into().map_err(|_| InvalidHashState)?;
                sha2::Sha512::deserialize(&state).map(Self::Sha512).map_err(|_| InvalidHashState)
            }
            _ => Err(InvalidHashState),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn saving_and_resuming_anywhere_changes_nothing(data: Vec<u8>, cut: prop::sample::Index, long: bool) {
            let (algorithm, length) = if long {
                (Algorithm::Sha512, SHA512_STATE_LENGTH)
            } else {
                (Algorithm::Sha256, SHA256_STATE_LENGTH)
            };
            let cut = cut.index(data.len() + 1);
            let mut first = Hasher::new(algorithm);
            first.update(&data[..cut]);
            let state = first.save();
            prop_assert_eq!(state.len(), length);
            let mut second = Hasher::resume(&state).map_err(|e| TestCaseError::fail(e.to_string()))?;
            second.update(&data[cut..]);
            prop_assert_eq!(second.finish(), Hasher::digest(algorithm, &data));
        }
    }

    #[test]
    fn a_state_of_another_length_is_refused() {
        for length in [0, 103, 105, 207, 209] {
            assert!(Hasher::resume(&vec![0; length]).is_err(), "{length}");
        }
    }

    #[test]
    fn the_standards_own_examples_hold() {
        // FIPS 180-4's companion document, "SHA-512 Example (One-Block Message)".
        let digest = Hasher::digest(Algorithm::Sha512, b"abc").to_string();
        assert!(digest.starts_with("sha512:ddaf35a193617abacc417349ae204131"), "{digest}");
        assert!(digest.ends_with("454d4423643ce80e2a9ac94fa54ca49f"), "{digest}");
    }
}
