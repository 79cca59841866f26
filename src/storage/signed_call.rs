//! Requests that a URL of ours permits by itself: a client that was let in once carries on with it where it shows no
//! credentials. HMAC-SHA256 over what the request is for, what it is about, who was let in, and until when.

use std::fmt;

use chrono::{DateTime, Utc};
use hmac::Mac;

use super::signed_url::{SignatureError, UrlSigner};

/// What a signed call is for. One purpose's signature is good for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallPurpose {
    /// Finalize the upload that is named, with the digest that it was begun with.
    Finalize,
    /// Have the requests signed that send the bytes of the upload that is named, and be told how far it is.
    Send,
    /// Read the blob that is named, `repository@digest`.
    ReadBlob,
}

/// One request that a URL permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallGrant {
    pub purpose: CallPurpose,
    /// What it is about: an upload's UUID, or `repository@digest`.
    pub subject: String,
    /// Who was let in; none where nobody signed in.
    pub user: Option<String>,
    /// Seconds since the epoch.
    pub expires: i64,
}

impl CallPurpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Finalize => "finalize",
            Self::Send => "send",
            Self::ReadBlob => "read-blob",
        }
    }
}

impl fmt::Display for CallGrant {
    /// What is signed. It begins as no signed PUT does, and only the last field may contain the separator.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_deref().unwrap_or_default();
        let Self { purpose, subject, expires, .. } = self;
        write!(f, "CALL\n{}\n{subject}\n{expires}\n{user}", purpose.as_str())
    }
}

impl UrlSigner {
    /// The URL of `path` with the query that carries `grant` out: `expires`, `user` and `signature`. What the call is for
    /// and about is up to whoever serves the path.
    #[must_use]
    pub fn sign_call(&self, path: &str, grant: &CallGrant) -> String {
        let signature = hex::encode(self.mac_of(grant).finalize().into_bytes());
        let mut parameters = url::form_urlencoded::Serializer::new(String::new());
        parameters.append_pair("expires", &grant.expires.to_string());
        if let Some(user) = &grant.user {
            parameters.append_pair("user", user);
        }
        parameters.append_pair("signature", &signature);
        format!("{}{path}?{}", self.base(), parameters.finish())
    }

    /// Checks a call as it came in against its signature, in constant time, and then its age.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Mismatch`]: not signed by this key, or another call. [`SignatureError::Expired`]: its time is up.
    pub fn verify_call(
        &self,
        grant: &CallGrant,
        signature: &str,
        now: DateTime<Utc>,
    ) -> Result<(), SignatureError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(signature, &mut bytes).map_err(|_| SignatureError::Mismatch)?;
        self.mac_of(grant).verify(&bytes.into()).map_err(|_| SignatureError::Mismatch)?;
        if now.timestamp() < grant.expires { Ok(()) } else { Err(SignatureError::Expired) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;
    use crate::storage::signed_url::{Grant, GrantTerms, SIGNING_KEY_LENGTH};

    fn grants() -> impl Strategy<Value = CallGrant> {
        let purpose =
            prop_oneof![Just(CallPurpose::Finalize), Just(CallPurpose::Send), Just(CallPurpose::ReadBlob)];
        let user = proptest::option::of("[a-z$+\n]{1,8}");
        (purpose, "[a-z0-9/@:-]{1,40}", user, 1..2_000_000_000_i64)
            .prop_map(|(purpose, subject, user, expires)| CallGrant { purpose, subject, user, expires })
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap_or_default()
    }

    proptest! {
        #[test]
        fn a_call_permits_what_was_signed_and_nothing_else(grant in grants(), other in grants(), key: [u8; 32]) {
            let key: [u8; SIGNING_KEY_LENGTH] = std::array::from_fn(|at| key[at % 32]);
            let signer = UrlSigner::new(key, Some(Url::parse("https://example.org/below/")?));
            let url = Url::parse(&signer.sign_call("/a/b", &grant))?;
            prop_assert_eq!(url.path(), "/below/a/b");
            let query: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(query.get("user"), grant.user.as_ref());
            let signature = query.get("signature").cloned().unwrap_or_default();
            let end = grant.expires;
            prop_assert_eq!(signer.verify_call(&grant, &signature, at(end - 1)), Ok(()));
            prop_assert_eq!(signer.verify_call(&grant, &signature, at(end)), Err(SignatureError::Expired));
            if other != grant {
                prop_assert_eq!(signer.verify_call(&other, &signature, at(0)), Err(SignatureError::Mismatch));
            }
            for forged in ["", "00", &signature[1..], &format!("{signature}00")] {
                prop_assert_eq!(signer.verify_call(&grant, forged, at(0)), Err(SignatureError::Mismatch));
            }
            let stranger = UrlSigner::new(key.map(|byte| !byte), None);
            prop_assert_eq!(stranger.verify_call(&grant, &signature, at(0)), Err(SignatureError::Mismatch));
        }

        #[test]
        fn no_put_is_signed_like_a_call(grant in grants(), upload: u128, expires in 1..2_000_000_000_i64) {
            let upload = crate::domain::upload::UploadId::from_uuid(uuid::Uuid::from_u128(upload));
            let terms = GrantTerms { expires, length: None, digest: None };
            prop_assert_ne!(Grant { upload, part: None, terms }.to_string(), grant.to_string());
        }
    }
}
