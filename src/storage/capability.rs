//! What is asked of a bucket, and what its answers mean.

mod guards;
mod proof_method;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::StorageError;
use crate::log_text::chain;

#[cfg(test)]
pub(super) use guards::CHECKSUM_ALGORITHM;
pub(super) use guards::COPY_CONDITION;
pub use guards::UrlGuards;
pub use proof_method::{ProofMethod, UploadKind};

/// How long an answer counts for those who start. A store learns and unlearns things when it is upgraded, which
/// is an event of weeks; and what is relied on most, the computed checksums, is seen anew with every use.
const FRESH: TimeDelta = TimeDelta::hours(24);
/// The same where a question was left open by an outage: long enough for the replicas of one roll-out to share
/// the answers, short enough that none works without what the bucket can do for a day.
const FRESH_IF_OPEN: TimeDelta = TimeDelta::minutes(10);

/// One question to a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    SignatureEnforced,
    TermsEnforced,
    CopySourceRefused,
    CopySourceGuarded,
    ArchivesKeptWhole,
    HeadersStayBehind,
    LocksNothing,
    ChecksumAlgorithmRefused,
    ChecksumAlgorithmGuarded,
    ContentHashEnforced,
    UploadKeyRestricted,
    ChecksumEnforced,
    RefusalHarmless,
    CopyComputes,
    CopyOfPartsComputes,
    GateComputes,
    TinyPartCopies,
    RangedReads,
    UploadsByPrefix,
}

/// What a bucket answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "answer", content = "reason")]
pub enum Answer {
    Yes,
    No(String),
    /// It was not there to answer. Counts as a no, for a shorter time.
    Open(String),
}

/// What the procedures may rely on. Everything is false until it was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities(BTreeMap<Capability, Answer>);

impl Capability {
    pub const ALL: [Self; 19] = [
        Self::SignatureEnforced,
        Self::TermsEnforced,
        Self::CopySourceRefused,
        Self::CopySourceGuarded,
        Self::ArchivesKeptWhole,
        Self::HeadersStayBehind,
        Self::LocksNothing,
        Self::ChecksumAlgorithmRefused,
        Self::ChecksumAlgorithmGuarded,
        Self::ContentHashEnforced,
        Self::UploadKeyRestricted,
        Self::ChecksumEnforced,
        Self::RefusalHarmless,
        Self::CopyComputes,
        Self::CopyOfPartsComputes,
        Self::GateComputes,
        Self::TinyPartCopies,
        Self::RangedReads,
        Self::UploadsByPrefix,
    ];

    /// What was asked.
    #[must_use]
    pub const fn question(self) -> &'static str {
        match self {
            Self::SignatureEnforced => "is a URL refused whose signature is wrong, or another key's",
            Self::TermsEnforced => "is a PUT refused of another length, or without a header that was signed",
            Self::CopySourceRefused => "does a PUT URL or a part's stay one where x-amz-copy-source is added",
            Self::CopySourceGuarded => {
                "does it where x-amz-copy-source-if-match is signed, and does it still work"
            }
            Self::ArchivesKeptWhole => "is a tar kept whole where X-Amz-Meta-Snowball-Auto-Extract is added",
            Self::HeadersStayBehind => {
                "do headers that an uploader adds stay behind when its object is copied"
            }
            Self::LocksNothing => "can what is put be removed where x-amz-object-lock-mode is added",
            Self::ChecksumAlgorithmRefused => {
                "is a body that the signed checksum does not fit refused where another algorithm is named"
            }
            Self::ChecksumAlgorithmGuarded => {
                "is it where x-amz-checksum-algorithm is signed, and does the URL still work"
            }
            Self::ContentHashEnforced => {
                "is a body refused that X-Amz-Content-Sha256 in the URL does not fit"
            }
            Self::UploadKeyRestricted => "can the key for uploads do no more than put below temp/",
            Self::ChecksumEnforced => "is a body refused that the signed x-amz-checksum-sha256 does not fit",
            Self::RefusalHarmless => "does a refused write leave the object as it was",
            Self::CopyComputes => "does a copy compute the SHA-256 of an object",
            Self::CopyOfPartsComputes => "does a copy compute the SHA-256 of an object made of parts",
            Self::GateComputes => {
                "does the copy into a multipart upload compute it before anything is visible"
            }
            Self::TinyPartCopies => "does a copy of a few bytes become a part of a multipart upload",
            Self::RangedReads => "does a ranged read give exactly the range",
            Self::UploadsByPrefix => "are multipart uploads that have begun listed",
        }
    }

    /// What follows from a yes, or from anything else.
    #[must_use]
    pub const fn meaning(self, yes: bool) -> &'static str {
        match (self, yes) {
            (Self::SignatureEnforced | Self::TermsEnforced, true) => "a URL permits what it was signed for",
            (Self::SignatureEnforced | Self::TermsEnforced, false) => {
                "uploads go through the service; this is no store to keep blobs in"
            }
            (Self::CopySourceRefused, true) => "a URL to write to reads nothing",
            (Self::CopySourceRefused, false) => "a URL to write to reads the bucket, unless it is guarded",
            (Self::CopySourceGuarded, true) => "every PUT URL is signed with it",
            (
                Self::CopySourceGuarded
                | Self::ArchivesKeptWhole
                | Self::HeadersStayBehind
                | Self::LocksNothing,
                false,
            ) => "uploads go through the service",
            (Self::ArchivesKeptWhole, true) => "a URL writes one object",
            (Self::HeadersStayBehind, true) => "what is published is bytes and nothing else",
            (Self::LocksNothing, true) => "what an upload leaves can be removed",
            (Self::ChecksumAlgorithmRefused, true) => "nothing takes a declared digest back",
            (Self::ChecksumAlgorithmRefused, false) => {
                "a declared digest can be taken back, unless it is guarded"
            }
            (Self::ChecksumAlgorithmGuarded, true) => "every URL with a declared digest is signed with it",
            (Self::ContentHashEnforced, true) => "a redirected client stores what it declared or nothing",
            (Self::ContentHashEnforced, false) => {
                "what a redirected client stores is known when it is proven"
            }
            (Self::UploadKeyRestricted, true) => "whatever a client's URL permits, this is all of it",
            (Self::UploadKeyRestricted, false) => "the key for uploads protects nothing",
            (Self::ChecksumEnforced, true) => "a PUT with a declared digest stores those bytes or nothing",
            (Self::ChecksumAlgorithmGuarded | Self::ChecksumEnforced, false) => {
                "a declared digest is proven like any other"
            }
            (Self::RefusalHarmless, true) => "the checksum the store reports can be believed",
            (Self::RefusalHarmless, false) => "the checksum the store reports is not believed",
            (Self::CopyComputes | Self::CopyOfPartsComputes, true) => "a copy proves a digest up to 5 GiB",
            (Self::CopyComputes | Self::CopyOfPartsComputes, false) => "a copy proves nothing",
            (Self::GateComputes, true) => "a blob up to 5 GiB is proven by the copy that publishes it",
            (Self::GateComputes, false) => "a blob is proven before it is copied to its place",
            (Self::TinyPartCopies, true) => "the end of an upload through the service is joined by a copy",
            (Self::TinyPartCopies, false) => {
                "the end of an upload through the service, less than a part, is read and sent once more"
            }
            (Self::RangedReads, true) => "a blob that must be read is read in ranges side by side",
            (Self::RangedReads, false) => "blobs that must be read cannot be published",
            (Self::UploadsByPrefix, true) => "multipart uploads left over are found and aborted",
            (Self::UploadsByPrefix, false) => {
                "give the bucket a lifecycle rule that aborts what is left over"
            }
        }
    }
}

impl Capabilities {
    /// Of a bucket that was seen to do this.
    #[must_use]
    pub fn seen(capabilities: impl IntoIterator<Item = Capability>) -> Self {
        Self::new(capabilities.into_iter().map(|capability| (capability, Answer::Yes)))
    }

    pub(in crate::storage) fn new(answers: impl IntoIterator<Item = (Capability, Answer)>) -> Self {
        Self(answers.into_iter().collect())
    }

    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.0.get(&capability) == Some(&Answer::Yes)
    }

    /// Whether the checksum that the store reports of what one PUT wrote is a proof of the bytes it holds.
    #[must_use]
    pub fn checksum_is_proof(&self) -> bool {
        self.has(Capability::ChecksumEnforced)
            && self.has(Capability::RefusalHarmless)
            && (self.has(Capability::ChecksumAlgorithmRefused)
                || self.has(Capability::ChecksumAlgorithmGuarded))
    }

    /// With nothing left that a proof could rest on.
    #[must_use]
    pub fn without_proofs(mut self) -> Self {
        for capability in [
            Capability::ChecksumEnforced,
            Capability::CopyComputes,
            Capability::CopyOfPartsComputes,
            Capability::GateComputes,
        ] {
            self.distrust(capability, "the settings ask for proofs that do not rest on the store".to_owned());
        }
        self
    }

    /// Why it is not relied on; none where it is, or was not asked.
    #[must_use]
    pub fn reason(&self, capability: Capability) -> Option<&str> {
        match self.0.get(&capability)? {
            Answer::Yes => None,
            Answer::No(reason) | Answer::Open(reason) => Some(reason),
        }
    }

    pub(super) fn answer(&self, capability: Capability) -> Option<&Answer> {
        self.0.get(&capability)
    }

    /// Every question that was asked, with its answer.
    pub fn iter(&self) -> impl Iterator<Item = (Capability, &Answer)> {
        self.0.iter().map(|(capability, answer)| (*capability, answer))
    }

    /// Whether a question had no answer.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.values().any(|answer| matches!(answer, Answer::Open(_)))
    }

    /// Whether answers of this age can be taken over.
    #[must_use]
    pub fn is_fresh(&self, probed_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let age = now - probed_at;
        // A time to come is another machine's wrong clock, whatever age that makes.
        age >= TimeDelta::zero() && age < if self.is_open() { FRESH_IF_OPEN } else { FRESH }
    }

    pub(in crate::storage) fn distrust(&mut self, capability: Capability, reason: String) {
        self.0.insert(capability, Answer::No(reason));
    }
}

impl Answer {
    pub(super) fn yes_if(yes: bool, otherwise: &str) -> Self {
        if yes { Self::Yes } else { Self::No(otherwise.to_owned()) }
    }

    /// Both, or what is wrong with the first that is not.
    pub(super) fn and(self, other: Self) -> Self {
        if self == Self::Yes { other } else { self }
    }
}

impl From<StorageError> for Answer {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable { .. } | StorageError::Busy(_) => Self::Open(chain(&error)),
            error => Self::No(chain(&error)),
        }
    }
}

impl From<Result<Self, StorageError>> for Answer {
    fn from(asked: Result<Self, StorageError>) -> Self {
        asked.unwrap_or_else(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_relied_on_that_was_not_seen() {
        let nothing = Capabilities::default();
        assert!(Capability::ALL.into_iter().all(|capability| !nothing.has(capability)));
        let open = Capabilities::new([(Capability::GateComputes, Answer::Open("no answer".to_owned()))]);
        assert!(!open.has(Capability::GateComputes));
    }

    #[test]
    fn answers_count_for_a_day_and_open_ones_for_minutes() {
        let at = DateTime::from_timestamp(1_700_000_000, 0).expect("a time");
        let yes = Capabilities::new([(Capability::RangedReads, Answer::Yes)]);
        assert!(yes.is_fresh(at, at) && yes.is_fresh(at, at + TimeDelta::hours(23)));
        assert!(!yes.is_fresh(at, at + FRESH) && !yes.is_fresh(at + TimeDelta::seconds(1), at));
        let open = Capabilities::new([(Capability::RangedReads, Answer::Open(String::new()))]);
        assert!(open.is_fresh(at, at + TimeDelta::minutes(9)) && !open.is_fresh(at, at + FRESH_IF_OPEN));
    }

    #[test]
    fn what_is_kept_reads_as_it_was_seen() {
        let answers = [Answer::Yes, Answer::No("a reason".to_owned()), Answer::Open("another".to_owned())];
        let seen = Capabilities::new(Capability::ALL.into_iter().zip(answers.into_iter().cycle()));
        let kept = serde_json::to_value(&seen).expect("JSON");
        assert_eq!(kept["signature-enforced"]["answer"], "yes");
        assert_eq!(serde_json::from_value::<Capabilities>(kept).expect("the same"), seen);
    }
}
