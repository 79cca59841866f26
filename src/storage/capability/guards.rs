//! What clients' URLs are signed with, so that they permit what they are for and nothing else.
//!
//! `MinIO`, `S3Proxy` and the `JuiceFS` gateway obey headers that were never signed: a PUT with `x-amz-copy-source` becomes
//! a copy of any object that the signer may read. A header that is signed cannot be changed or left out, and one that
//! names a condition which no copy meets makes a copy impossible, while a PUT knows no such condition.

use super::{Answer, Capabilities, Capability};
use crate::storage::PutTerms;

/// A condition that no object meets: ETags are hashes, or counted, and none reads like this.
pub(in crate::storage) const COPY_CONDITION: (&str, &str) =
    ("x-amz-copy-source-if-match", "\"no-object-has-this-etag\"");
/// Names the algorithm that the store would otherwise let a client choose, and with it whether it checks at all.
pub(in crate::storage) const CHECKSUM_ALGORITHM: (&str, &str) = ("x-amz-checksum-algorithm", "SHA256");

/// Headers that are signed beside those that a PUT needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UrlGuards {
    /// Against `x-amz-copy-source`.
    pub copy_source: bool,
    /// Against another `x-amz-checksum-algorithm`.
    pub checksum_algorithm: bool,
}

impl UrlGuards {
    pub(in crate::storage) fn put_headers(self, terms: PutTerms) -> Vec<(String, String)> {
        let mut headers = terms.headers();
        let is_bound = headers.iter().any(|(name, _)| name == "x-amz-checksum-sha256");
        headers.extend((self.checksum_algorithm && is_bound).then(|| owned(CHECKSUM_ALGORITHM)));
        headers.extend(self.part_headers());
        headers
    }

    pub(in crate::storage) fn part_headers(self) -> Vec<(String, String)> {
        self.copy_source.then(|| owned(COPY_CONDITION)).into_iter().collect()
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

impl Capability {
    /// What a bucket must have been seen to do before a client is given a URL of it, beside a closed door for
    /// `x-amz-copy-source`.
    pub const FOR_URLS: [Self; 5] = [
        Self::SignatureEnforced,
        Self::TermsEnforced,
        Self::ArchivesKeptWhole,
        Self::HeadersStayBehind,
        Self::LocksNothing,
    ];
}

impl Capabilities {
    /// What the bucket's URLs are signed with; none where they would permit too much, or were not seen not to.
    #[must_use]
    pub fn url_guards(&self) -> Option<UrlGuards> {
        let copy_source = !self.has(Capability::CopySourceRefused);
        if !Capability::FOR_URLS.into_iter().all(|needed| self.has(needed))
            || (copy_source && !self.has(Capability::CopySourceGuarded))
        {
            return None;
        }
        let checksum_algorithm =
            !self.has(Capability::ChecksumAlgorithmRefused) && self.has(Capability::ChecksumAlgorithmGuarded);
        Some(UrlGuards { copy_source, checksum_algorithm })
    }

    /// Why uploads do not go to the bucket directly; empty where they do.
    #[must_use]
    pub fn url_holes(&self) -> Vec<String> {
        if self.url_guards().is_some() {
            return Vec::new();
        }
        let mut asked = Capability::FOR_URLS.to_vec();
        if !self.has(Capability::CopySourceGuarded) {
            asked.push(Capability::CopySourceRefused);
        }
        let holes = asked.into_iter().filter_map(|capability| match self.answer(capability) {
            Some(Answer::Yes) => None,
            Some(Answer::No(reason)) => Some(reason.clone()),
            Some(Answer::Open(reason)) => Some(format!("{}: no answer ({reason})", capability.question())),
            None => Some(format!("{}: it was not asked", capability.question())),
        });
        holes.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;

    fn names(headers: &[(String, String)]) -> Vec<&str> {
        headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn a_url_of_the_bucket_is_signed_only_where_it_was_seen_to_permit_nothing_else() {
        assert_eq!(Capabilities::default().url_guards(), None);
        assert_eq!(Capabilities::default().url_holes().len(), 6);
        let closed = || Capability::FOR_URLS.into_iter();
        assert_eq!(Capabilities::seen(closed()).url_guards(), None);
        let refused = Capabilities::seen(
            closed().chain([Capability::CopySourceRefused, Capability::ChecksumAlgorithmRefused]),
        );
        assert_eq!(refused.url_guards(), Some(UrlGuards::default()));
        let guarded = Capabilities::seen(
            closed().chain([Capability::CopySourceGuarded, Capability::ChecksumAlgorithmGuarded]),
        );
        let guards = UrlGuards { copy_source: true, checksum_algorithm: true };
        assert_eq!((guarded.url_guards(), guarded.url_holes()), (Some(guards), Vec::new()));
        for left_out in Capability::FOR_URLS {
            let open = Answer::Open("it was away".to_owned());
            let answers = closed().chain([Capability::CopySourceRefused]).map(|capability| {
                (capability, if capability == left_out { open.clone() } else { Answer::Yes })
            });
            let seen = Capabilities::new(answers);
            assert_eq!(seen.url_guards(), None, "{left_out:?}");
            assert!(matches!(&seen.url_holes()[..], [hole] if hole.contains("it was away")));
        }
    }

    #[test]
    fn guards_are_headers_that_the_client_must_send() {
        let guards = UrlGuards { copy_source: true, checksum_algorithm: true };
        let terms = PutTerms { size: None, digest: Some(Digest::EMPTY) };
        assert_eq!(
            names(&guards.put_headers(terms)),
            [
                "content-type",
                "x-amz-checksum-sha256",
                "x-amz-checksum-algorithm",
                "x-amz-copy-source-if-match"
            ]
        );
        let unbound = PutTerms { size: Some(1), digest: Some(Digest::EMPTY_SHA512) };
        assert_eq!(
            names(&guards.put_headers(unbound)),
            ["content-type", "content-length", "x-amz-copy-source-if-match"]
        );
        assert_eq!(names(&guards.part_headers()), ["x-amz-copy-source-if-match"]);
        assert_eq!(UrlGuards::default().part_headers(), []);
    }
}
