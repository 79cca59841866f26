//! Presigned parts: ten thousand of them are one request's work.

use std::fmt::{self, Write};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::stamp::{self, Stamp};
use super::target::Target;
use super::{QUERY, encode};
use crate::domain::part::Part;
use crate::storage::{Lengths, PresignedRequest};

/// Digits of a part's number at most.
const NUMBER_LENGTH: usize = 5;

/// Signs the parts of one multipart upload. What their requests have in common is hashed, or laid ready, once.
pub struct PartSigner {
    /// Has taken in the canonical request up to the part's number.
    hash: Sha256,
    /// The canonical request between the part's number and its length, if that is signed.
    after_number: String,
    /// The canonical request after the part's length.
    after_length: String,
    /// The URL up to the part's number.
    url: String,
    /// The URL between the part's number and the signature.
    query: String,
    /// What every part's PUT must carry beside its length.
    headers: Vec<(String, String)>,
    lengths: Lengths,
    stamp: Stamp,
}

impl PartSigner {
    /// `more` are headers that every part's PUT must carry: in the order of their names, which follow `host`. What is to
    /// be signed are parts with their lengths, or without.
    pub(super) fn new(
        target: &Target,
        stamp: Stamp,
        key: &str,
        store_upload_id: &str,
        lengths: Lengths,
        more: Vec<(String, String)>,
    ) -> Self {
        let (path, host) = (target.path(key), target.host());
        let upload_id = encode(store_upload_id, QUERY);
        let (mut headers, before_length, after_length) = match lengths {
            Lengths::Signed => (vec!["content-length", "host"], "content-length:", "\n"),
            Lengths::Open => (vec!["host"], "", ""),
        };
        headers.extend(more.iter().map(|(name, _)| name.as_str()));
        let query = stamp.canonical_query(&headers);
        let mut lines = format!("{after_length}host:{host}\n");
        for (name, value) in &more {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{name}:{value}");
        }
        Self {
            hash: stamp::hash(&format!("PUT\n{path}\n{query}&partNumber=")),
            after_number: format!("&uploadId={upload_id}&x-id=UploadPart\n{before_length}"),
            after_length: format!("{lines}\n{}\nUNSIGNED-PAYLOAD", headers.join(";")),
            url: format!("{}{path}?x-id=UploadPart&partNumber=", target.origin()),
            query: format!("&uploadId={upload_id}&{}", stamp.url_query(&headers)),
            headers: more,
            lengths,
            stamp,
        }
    }

    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.stamp.expires_at()
    }

    /// Signs the PUT of one part, bound to its number, and to its length if that is signed.
    #[must_use]
    pub fn sign(&self, part: Part) -> PresignedRequest {
        let length = self.url.len() + NUMBER_LENGTH + self.query.len() + self.stamp.signature_length();
        let mut url = String::with_capacity(length);
        url.push_str(&self.url);
        // Writing to a string cannot fail.
        let _ = write!(url, "{}", part.number);
        let size = (self.lengths == Lengths::Signed).then(|| part.size.to_string());
        let mut hash = self.hash.clone();
        hash.update(&url.as_bytes()[self.url.len()..]);
        hash.update(&self.after_number);
        hash.update(size.as_deref().unwrap_or_default());
        hash.update(&self.after_length);
        url.push_str(&self.query);
        self.stamp.sign(hash, &mut url);
        let mut headers: Vec<_> = size.map(|size| ("content-length".to_owned(), size)).into_iter().collect();
        headers.extend_from_slice(&self.headers);
        PresignedRequest { url, headers, expires_at: self.expires_at() }
    }
}

impl fmt::Debug for PartSigner {
    /// Without what it signs with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartSigner").field("expires_at", &self.expires_at()).finish_non_exhaustive()
    }
}
