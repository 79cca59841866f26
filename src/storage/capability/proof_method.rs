//! Which proof an upload gets here: the cheapest that is one.

use serde::Serialize;

use super::{Capabilities, Capability};
use crate::domain::blob::Proof;
use crate::domain::part::MAX_PART_SIZE;
use crate::domain::upload::Transfer;

/// How bytes come in, as far as their proof depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadKind {
    /// One PUT whose every URL was signed with the digest.
    BoundPut,
    /// One PUT of whatever comes.
    Put,
    /// Parts that are 5 GiB together or less: what one copy takes.
    Parts,
    Large,
    Proxied,
}

/// How a digest is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofMethod {
    /// Hashed as the bytes pass through.
    Streamed,
    /// The store held the PUT to its checksum.
    StoreChecksum,
    /// By the one-part multipart copy that publishes: what it computes is compared before it is completed.
    Gate,
    /// By a copy to where no URL writes, and a second one to the blob's place.
    SealingCopy,
    ReadBack,
}

impl UploadKind {
    pub const ALL: [Self; 5] = [Self::BoundPut, Self::Put, Self::Parts, Self::Large, Self::Proxied];

    #[must_use]
    pub const fn of(transfer: &Transfer, hash_bound: bool, size: u64) -> Self {
        match transfer {
            Transfer::Proxied(_) => Self::Proxied,
            Transfer::Put if hash_bound => Self::BoundPut,
            _ if size > MAX_PART_SIZE => Self::Large,
            // Whatever was declared, its URL does not say it.
            Transfer::Put | Transfer::Redirected => Self::Put,
            Transfer::Multipart { .. } | Transfer::OpenMultipart { .. } => Self::Parts,
        }
    }

    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::BoundPut => "one PUT, digest declared",
            Self::Put => "one PUT, no digest",
            Self::Parts => "parts, up to 5 GiB",
            Self::Large => "parts, above 5 GiB",
            Self::Proxied => "through the service",
        }
    }
}

impl ProofMethod {
    #[must_use]
    pub const fn proof(self) -> Proof {
        match self {
            Self::Streamed => Proof::Streamed,
            Self::StoreChecksum => Proof::StoreChecksum,
            Self::Gate | Self::SealingCopy => Proof::StoreCopy,
            Self::ReadBack => Proof::ReadBack,
        }
    }

    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Streamed => "hashed as the bytes pass through",
            Self::StoreChecksum => "held to its checksum when it was written; no byte is read",
            Self::Gate => "computed by the copy that publishes it; no byte is read",
            Self::SealingCopy => {
                "computed by a copy out of every URL's reach, then copied again; no byte is read"
            }
            Self::ReadBack => "the blob is read once and hashed here",
        }
    }
}

impl Capabilities {
    /// How an upload of this kind is proven here.
    #[must_use]
    pub fn proof_method(&self, kind: UploadKind) -> ProofMethod {
        match kind {
            UploadKind::Proxied => ProofMethod::Streamed,
            UploadKind::BoundPut if self.checksum_is_proof() => ProofMethod::StoreChecksum,
            UploadKind::Large => ProofMethod::ReadBack,
            _ if self.has(Capability::GateComputes) => ProofMethod::Gate,
            // It needs the sealing copy anyway.
            UploadKind::BoundPut | UploadKind::Put if self.has(Capability::CopyComputes) => {
                ProofMethod::SealingCopy
            }
            // Here the copy is one more than reading back needs. It is the store's own work, mostly without
            // moving a byte, where reading would take the blob over the network and through our processor.
            UploadKind::Parts if self.has(Capability::CopyOfPartsComputes) => ProofMethod::SealingCopy,
            _ => ProofMethod::ReadBack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn methods(seen: &[Capability]) -> [ProofMethod; 5] {
        let seen = Capabilities::seen(seen.iter().copied());
        UploadKind::ALL.map(|kind| seen.proof_method(kind))
    }

    #[test]
    fn the_cheapest_proof_that_was_seen_to_be_one_is_taken() {
        use Capability::{
            ChecksumAlgorithmGuarded, ChecksumEnforced, CopyComputes, CopyOfPartsComputes, GateComputes,
            RefusalHarmless,
        };
        use ProofMethod::{Gate, ReadBack, SealingCopy, StoreChecksum, Streamed};
        assert_eq!(methods(&[]), [ReadBack, ReadBack, ReadBack, ReadBack, Streamed]);
        // Enforced, but a refused write damages the object: no proof.
        assert_eq!(methods(&[ChecksumEnforced]), methods(&[]));
        // Enforced, but who names another algorithm is not held to it: no proof either.
        assert_eq!(methods(&[ChecksumEnforced, RefusalHarmless]), methods(&[]));
        let enforced = [ChecksumEnforced, RefusalHarmless, ChecksumAlgorithmGuarded];
        assert_eq!(methods(&enforced), [StoreChecksum, ReadBack, ReadBack, ReadBack, Streamed]);
        assert_eq!(methods(&[CopyComputes]), [SealingCopy, SealingCopy, ReadBack, ReadBack, Streamed]);
        assert_eq!(methods(&[CopyOfPartsComputes]), [ReadBack, ReadBack, SealingCopy, ReadBack, Streamed]);
        assert_eq!(methods(&[GateComputes, CopyComputes]), [Gate, Gate, Gate, ReadBack, Streamed]);
        assert_eq!(methods(&Capability::ALL), [StoreChecksum, Gate, Gate, ReadBack, Streamed]);
    }
}
