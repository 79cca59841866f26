//! What a client's URL permits: what it was signed for, and whatever the store does with headers that were not
//! signed. It is tried as a client would, by URLs that are signed like clients'.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use reqwest::StatusCode;
use reqwest::header::CONTENT_LENGTH;

use super::{Answer, CONTENT, Capability, OTHER, Probe, UrlGuards, digest_of};
use crate::domain::part::{Part, PartNumber};
use crate::storage::capability::COPY_CONDITION;
use crate::storage::key::Key;
use crate::storage::s3::ATTEMPTS;
use crate::storage::s3::presign::{PROBE_TIMEOUT, http_client_with};
use crate::storage::s3::signer::Signer;
use crate::storage::{Lengths, PresignedRequest, PutTerms, Result, StorageError};

const COPY_SOURCE: &str = "x-amz-copy-source";
const COPY_GUARD: UrlGuards = UrlGuards { copy_source: true, checksum_algorithm: false };
const ALGORITHM_GUARD: UrlGuards = UrlGuards { copy_source: false, checksum_algorithm: true };
const TAKE: &str = "take a presigned request";
/// Before the second try of a request; each pause after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Where is written: unguarded, guarded, and guarded with the condition said twice.
const PUT_KEYS: [&str; 3] = ["copied", "copied-guarded", "copied-twice"];
const PART_KEYS: [&str; 3] = ["copied-part", "copied-part-guarded", "copied-part-twice"];
const BOUND_KEYS: [&str; 3] = ["bound", "bound-crc", "bound-sdk"];
const GUARDED_BOUND_KEYS: [&str; 3] = ["bound-guarded-1", "bound-guarded-2", "bound-guarded-3"];

/// A header that a URL's holder adds.
pub(super) type Added = (&'static str, String);

/// A client that tries what it should not.
#[derive(Debug)]
pub(super) struct Holder {
    http: reqwest::Client,
    pub(super) signer: Arc<Signer>,
}

impl Holder {
    pub fn new(signer: Arc<Signer>) -> Result<Self> {
        // Where a redirect leads to is another question.
        let http = http_client_with(|builder| builder.redirect(reqwest::redirect::Policy::none()))?;
        Ok(Self { http, signer })
    }

    /// Whether the store takes it. Stores name a refusal differently, but all blame the client for it; an outage is
    /// neither, and mostly over at the next try. The length that is sent is that of the body.
    pub async fn put(&self, request: &PresignedRequest, added: &[Added], body: Bytes) -> Result<bool> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            if let Ok(is_taken) = self.put_once(request, added, body.clone()).await {
                return Ok(is_taken);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.put_once(request, added, body).await
    }

    async fn put_once(&self, request: &PresignedRequest, added: &[Added], body: Bytes) -> Result<bool> {
        let mut put = self.http.put(&request.url);
        for (name, value) in &request.headers {
            if name != CONTENT_LENGTH.as_str() {
                put = put.header(name, value);
            }
        }
        for (name, value) in added {
            put = put.header(*name, value);
        }
        // The URL is a secret and stays out of every message.
        let answer = put.body(body).send().await.map_err(reqwest::Error::without_url);
        let status = answer.map_err(StorageError::unavailable(TAKE))?.status();
        if status.is_success() {
            Ok(true)
        } else if status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED {
            Ok(false)
        } else {
            Err(StorageError::unavailable(TAKE)(format!("it answered {status}")))
        }
    }
}

impl Probe<'_> {
    /// What clients' URLs permit, tried with `holder`.
    pub(super) async fn client_urls(&self, holder: &Holder) -> Vec<(Capability, Answer)> {
        let (signatures, terms, copying, whole, headers, locks, algorithms, hash) = tokio::join!(
            Box::pin(self.signature_enforced(holder)),
            Box::pin(self.terms_enforced(holder)),
            Box::pin(self.copy_source(holder)),
            Box::pin(self.archives_kept_whole(holder)),
            Box::pin(self.headers_stay_behind(holder)),
            Box::pin(self.locks_nothing(holder)),
            Box::pin(self.checksum_algorithm(holder)),
            Box::pin(self.content_hash_enforced(holder)),
        );
        let mut answers = vec![
            (Capability::SignatureEnforced, signatures.into()),
            (Capability::TermsEnforced, terms.into()),
            (Capability::ArchivesKeptWhole, whole.into()),
            (Capability::HeadersStayBehind, headers.into()),
            (Capability::LocksNothing, locks.into()),
            (Capability::ContentHashEnforced, hash.into()),
        ];
        answers.extend(copying);
        answers.extend(algorithms);
        answers
    }

    pub(super) async fn signed_put(
        &self,
        holder: &Holder,
        key: &Key,
        terms: PutTerms,
        guards: UrlGuards,
    ) -> Result<PresignedRequest> {
        holder.signer.put(&self.store.path(key), guards.put_headers(terms), PROBE_TIMEOUT).await
    }

    async fn signature_enforced(&self, holder: &Holder) -> Result<Answer> {
        let key = self.key("signature");
        let request = self.signed_put(holder, &key, sized(CONTENT), UrlGuards::default()).await?;
        let forged = PresignedRequest { url: with_other_signature(&request.url), ..request.clone() };
        let moved = self.key("signature-moved");
        let moved = request.url.replace(&self.store.path(&key), &self.store.path(&moved));
        let moved = PresignedRequest { url: moved, ..request };
        let (forged, moved) = tokio::join!(
            holder.put(&forged, &[], Bytes::from_static(CONTENT)),
            holder.put(&moved, &[], Bytes::from_static(CONTENT)),
        );
        let forged = Answer::yes_if(!forged?, "a URL with a wrong signature is taken");
        Ok(forged.and(Answer::yes_if(!moved?, "a URL that was signed for another key is taken")))
    }

    async fn terms_enforced(&self, holder: &Holder) -> Result<Answer> {
        let (plain, longer, unnamed) =
            (self.key("terms"), self.key("terms-length"), self.key("terms-header"));
        let guards = UrlGuards::default();
        let plain = self.signed_put(holder, &plain, sized(CONTENT), guards).await?;
        let longer = self.signed_put(holder, &longer, sized(CONTENT), guards).await?;
        let mut unnamed = self.signed_put(holder, &unnamed, bound(CONTENT), guards).await?;
        unnamed.headers.retain(|(name, _)| !name.starts_with("x-amz-checksum"));
        let (plain, longer, unnamed) = tokio::join!(
            holder.put(&plain, &[], Bytes::from_static(CONTENT)),
            holder.put(&longer, &[], [CONTENT, OTHER].concat().into()),
            holder.put(&unnamed, &[], Bytes::from_static(OTHER)),
        );
        Ok(Answer::yes_if(plain?, "a PUT as it was signed is refused")
            .and(Answer::yes_if(!longer?, "a body of another length than was signed is taken"))
            .and(Answer::yes_if(!unnamed?, "a PUT that leaves out a signed checksum header is taken")))
    }

    async fn copy_source(&self, holder: &Holder) -> Vec<(Capability, Answer)> {
        let refused = Answer::from(self.stays_a_put(holder, UrlGuards::default()).await);
        let mut answers = vec![(Capability::CopySourceRefused, refused.clone())];
        if refused != Answer::Yes {
            answers.push((Capability::CopySourceGuarded, self.stays_a_put(holder, COPY_GUARD).await.into()));
        }
        answers
    }

    /// Whether nothing that is added to them makes copies of a PUT and of a part's PUT.
    async fn stays_a_put(&self, holder: &Holder, guards: UrlGuards) -> Result<Answer> {
        let source = self.store.head(self.key("usable")).await?;
        let mut attempts: Vec<Vec<Added>> =
            vec![vec![(COPY_SOURCE, format!("/{}", self.store.copy_source(&source.key)))]];
        if guards.copy_source {
            // Said twice: a store may sign what comes first, and heed what comes last.
            let again = (COPY_CONDITION.0, source.etag.unwrap_or_default());
            attempts.push(vec![attempts[0][0].clone(), again]);
        }
        let mut answer = Answer::Yes;
        for (at, added) in attempts.iter().enumerate() {
            let put = self.key(PUT_KEYS[usize::from(guards.copy_source) + at]);
            let part = self.key(PART_KEYS[usize::from(guards.copy_source) + at]);
            let (put, part) = tokio::join!(
                Box::pin(self.writes_its_body(holder, &put, added, guards)),
                Box::pin(self.part_writes_its_body(holder, &part, added, guards)),
            );
            answer = answer.and(
                put?.unless_other("x-amz-copy-source makes a copy of a PUT: its URL reads other objects"),
            );
            answer = answer.and(
                part?.unless_other("x-amz-copy-source makes a copy of a part: its URL reads other objects"),
            );
        }
        if guards.copy_source && answer == Answer::Yes {
            let (put, part) = (self.key("guarded-put"), self.key("guarded-part"));
            let (put, part) = tokio::join!(
                Box::pin(self.writes_its_body(holder, &put, &[], guards)),
                Box::pin(self.part_writes_its_body(holder, &part, &[], guards)),
            );
            let works = put? == Written::Body && part? == Written::Body;
            answer = Answer::yes_if(works, "it refuses a PUT or a part that is signed so");
        }
        Ok(answer)
    }

    /// What stands at `key` after a PUT of [`OTHER`] with these headers added.
    async fn writes_its_body(
        &self,
        holder: &Holder,
        key: &Key,
        added: &[Added],
        guards: UrlGuards,
    ) -> Result<Written> {
        let request = self.signed_put(holder, key, sized(OTHER), guards).await?;
        holder.put(&request, added, Bytes::from_static(OTHER)).await?;
        self.written(key).await
    }

    /// The same for a part, once it is completed.
    async fn part_writes_its_body(
        &self,
        holder: &Holder,
        key: &Key,
        added: &[Added],
        guards: UrlGuards,
    ) -> Result<Written> {
        let (store, path) = (self.store, self.store.path(key));
        let store_upload_id = store.create_multipart_at(key).await?;
        let signer = holder
            .signer
            .parts(&path, &store_upload_id, Lengths::Signed, guards.part_headers(), PROBE_TIMEOUT)
            .await?;
        let request = signer.sign(Part { number: PartNumber::FIRST, offset: 0, size: OTHER.len() as u64 });
        let sent = holder.put(&request, added, Bytes::from_static(OTHER)).await;
        let parts = match sent {
            Ok(_) => store.list_parts_at(key, &store_upload_id).await,
            Err(error) => Err(error),
        };
        match parts {
            Ok(parts) if !parts.is_empty() => {
                store.complete_multipart_at(key, &store_upload_id, &parts).await?;
                self.written(key).await
            }
            parts => {
                // What cannot be aborted now is swept.
                let _ = store.abort_multipart_at(&path, &store_upload_id).await;
                parts.map(|_| Written::Nothing)
            }
        }
    }

    async fn written(&self, key: &Key) -> Result<Written> {
        match self.store.read_object(key).await {
            Ok(bytes) if bytes == OTHER => Ok(Written::Body),
            Ok(_) => Ok(Written::Other),
            Err(StorageError::NotFound) => Ok(Written::Nothing),
            Err(error) => Err(error),
        }
    }

    async fn checksum_algorithm(&self, holder: &Holder) -> Vec<(Capability, Answer)> {
        let refused = Answer::from(self.stays_bound(holder, UrlGuards::default()).await);
        let mut answers = vec![(Capability::ChecksumAlgorithmRefused, refused.clone())];
        if refused != Answer::Yes {
            let guarded = self.stays_bound(holder, ALGORITHM_GUARD).await.into();
            answers.push((Capability::ChecksumAlgorithmGuarded, guarded));
        }
        answers
    }

    /// Whether a signed SHA-256 binds the body whatever algorithm its sender names beside it.
    async fn stays_bound(&self, holder: &Holder, guards: UrlGuards) -> Result<Answer> {
        let algorithm = |name: &'static str| (name, "CRC32".to_owned());
        let crc32 = ("x-amz-checksum-crc32", crc32_of(OTHER));
        let attempts = [
            vec![algorithm("x-amz-checksum-algorithm")],
            vec![algorithm("x-amz-checksum-algorithm"), crc32.clone()],
            vec![algorithm("x-amz-sdk-checksum-algorithm"), crc32],
        ];
        let keys = if guards.checksum_algorithm { GUARDED_BOUND_KEYS } else { BOUND_KEYS };
        let tries = attempts.iter().zip(keys).map(|(added, name)| async move {
            let request = self.signed_put(holder, &self.key(name), bound(CONTENT), guards).await?;
            holder.put(&request, added, Bytes::from_static(OTHER)).await
        });
        for taken in futures_util::future::join_all(tries).await {
            if taken? {
                return Ok(Answer::No(
                    "another algorithm beside the signed checksum has other bytes taken".to_owned(),
                ));
            }
        }
        if guards.checksum_algorithm {
            let request = self.signed_put(holder, &self.key("bound-guarded"), bound(CONTENT), guards).await?;
            let works = holder.put(&request, &[], Bytes::from_static(CONTENT)).await?;
            return Ok(Answer::yes_if(works, "it refuses a PUT that is signed so"));
        }
        Ok(Answer::Yes)
    }
}

/// What a PUT left at its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Nothing,
    Body,
    Other,
}

impl Written {
    fn unless_other(self, otherwise: &str) -> Answer {
        Answer::yes_if(self != Self::Other, otherwise)
    }
}

pub(super) fn sized(body: &[u8]) -> PutTerms {
    PutTerms { size: Some(body.len() as u64), digest: None }
}

fn bound(body: &[u8]) -> PutTerms {
    PutTerms { digest: Some(digest_of(body)), ..sized(body) }
}

/// `x-amz-checksum-crc32`.
fn crc32_of(body: &[u8]) -> String {
    // The crate gives every CRC as 64 bits.
    let crc32 = u32::try_from(crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, body)).unwrap_or_default();
    STANDARD.encode(crc32.to_be_bytes())
}

/// The URL with another first digit of its signature.
fn with_other_signature(url: &str) -> String {
    let (head, signature) = url.split_once("X-Amz-Signature=").unwrap_or((url, ""));
    let first = if signature.starts_with('0') { '1' } else { '0' };
    format!("{head}X-Amz-Signature={first}{}", signature.get(1..).unwrap_or_default())
}
