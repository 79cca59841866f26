//! What bytes are finalized as.

use super::{Refusal, State, Upload};
use crate::domain::digest::{Algorithm, Digest};
use uuid::Uuid;

/// What whoever finalizes an upload takes its bytes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// What the client says they are, or what they were found to be.
    Digest(Digest),
    /// Whatever they hash to by this algorithm: their client tells no digest.
    Computed(Algorithm),
}

impl From<Digest> for Claim {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

impl Claim {
    #[must_use]
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::Digest(digest) => digest.algorithm(),
            Self::Computed(algorithm) => algorithm,
        }
    }

    /// None before it is known.
    #[must_use]
    pub const fn digest(self) -> Option<Digest> {
        match self {
            Self::Digest(digest) => Some(digest),
            Self::Computed(_) => None,
        }
    }

    /// Whether bytes of this digest are what is claimed.
    #[must_use]
    pub fn admits(self, digest: Digest) -> bool {
        match self {
            Self::Digest(claimed) => claimed == digest,
            Self::Computed(algorithm) => algorithm == digest.algorithm(),
        }
    }
}

impl Upload {
    /// What this session is claimed as by who claims it as `asked`. A digest that was declared, or found out before
    /// its finder died, need not be found out again.
    pub(super) fn claimed_as(&self, asked: Claim) -> Result<Claim, Refusal> {
        let known = match &self.state {
            State::Finalizing { claim, .. } => claim.digest(),
            _ => None,
        };
        match (asked, self.declared_digest) {
            (asked, Some(declared)) if asked.admits(declared) => Ok(declared.into()),
            (_, Some(_)) => Err(Refusal::Redeclared("digest")),
            (Claim::Computed(_), None) => {
                Ok(known.filter(|known| asked.admits(*known)).map_or(asked, Claim::Digest))
            }
            (Claim::Digest(_), None) => Ok(asked),
        }
    }

    /// Notes what the bytes were found to be, before anything is done under that digest.
    ///
    /// # Errors
    ///
    /// [`Refusal::LeaseLost`]: `owner` is not who finalizes it.
    pub fn identify(mut self, owner: Uuid, digest: Digest) -> Result<Self, Refusal> {
        match &mut self.state {
            State::Finalizing { claim, lease, .. } if lease.owner == owner && claim.admits(digest) => {
                *claim = digest.into();
                Ok(self)
            }
            _ => Err(Refusal::LeaseLost),
        }
    }
}
