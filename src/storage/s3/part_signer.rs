//! What signs the URLs of an upload's parts: for the bucket, or for this service.

use chrono::{DateTime, Utc};

use super::signer;
use crate::domain::part::Part;
use crate::storage::{PresignedRequest, signed_url};

/// Signs the PUTs of one upload's parts, each at the cost of a hash or two. Half a kilobyte of prepared hashes and text.
#[derive(Debug)]
pub enum PartSigner {
    /// URLs of the bucket.
    S3(Box<signer::PartSigner>),
    /// URLs that lead back to this service.
    Own(Box<signed_url::PartSigner>),
}

impl PartSigner {
    /// Signs the PUT of one part, bound to its number, and to its length if that is signed.
    #[must_use]
    pub fn sign(&self, part: Part) -> PresignedRequest {
        match self {
            Self::S3(signer) => signer.sign(part),
            Self::Own(signer) => signer.sign(part),
        }
    }

    /// When all that this signs ends.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        match self {
            Self::S3(signer) => signer.expires_at(),
            Self::Own(signer) => signer.expires_at(),
        }
    }
}
