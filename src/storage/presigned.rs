//! Requests that clients make on their own, and what they are bound to.

use chrono::{DateTime, Utc};

use super::CONTENT_TYPE;
use crate::domain::digest::Digest;

/// A request that a client may make on its own, for one key and one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresignedRequest {
    pub url: String,
    /// Exactly what the client must send.
    pub headers: Vec<(String, String)>,
    /// When the store stops taking it, in whole seconds. Not after the credentials that it was signed with.
    pub expires_at: DateTime<Utc>,
}

/// Whether the URLs of parts are bound to the parts' lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lengths {
    Signed,
    /// Their client does not tell them.
    Open,
}

/// What a presigned PUT of a whole blob is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutTerms {
    /// In bytes; signed as `content-length`.
    pub size: Option<u64>,
    /// Signed as `x-amz-checksum-sha256` where it is one. S3 knows no header for another algorithm that it would hold
    /// the body to, so there it binds nothing; the filesystem holds the body to either.
    pub digest: Option<Digest>,
}

impl PutTerms {
    /// What a PUT on these terms must carry, beside the host that the client's own HTTP library sends.
    pub(super) fn headers(self) -> Vec<(String, String)> {
        let mut headers = vec![("content-type".to_owned(), CONTENT_TYPE.to_owned())];
        headers.extend(self.size.map(|size| ("content-length".to_owned(), size.to_string())));
        let checksum = self.digest.and_then(|digest| digest.to_base64());
        headers.extend(checksum.map(|checksum| ("x-amz-checksum-sha256".to_owned(), checksum)));
        headers
    }
}
