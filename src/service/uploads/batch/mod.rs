//! Begin the uploads of a batch: of many blobs at once, whose digests and sizes are known. The database is asked once
//! for all of them, and the store for none but those that come in parts. A batch that comes again goes on with the
//! sessions that it began.

// Begins the sessions of those that are missing.
mod begin;
// What the repository has, and what was begun before.
mod known;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};

use super::sign::{MULTIPART_THRESHOLD, Presigned, SignMode, SignRequest};
use crate::domain::access::Caller;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::part::MAX_PART_SIZE;
use crate::domain::upload::{BatchDoor, State, Transfer, Upload, UploadId};
use crate::service::{Result, Service, ServiceError};

/// Sessions of one blob that are looked at for one to go on with: two batches at once may each begin one.
const OPEN_OF_EACH: u32 = 4;
/// Blobs of one batch that are sent in parts: each is a request to the store.
const MOST_IN_PARTS: usize = 100;
/// Of those so many at a time.
const IN_PARTS_AT_ONCE: usize = 8;
/// Parts of one blob, about: small enough to send again.
const PARTS_OF_EACH: u64 = 100;
/// And of all of a batch: each is a URL in an answer that is held whole.
const PARTS_OF_ALL: u64 = 2_000;

/// A blob that a client is about to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedBlob {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

/// Who sends a batch, by what they say.
#[derive(Debug, Clone, Copy)]
pub struct BatchOrigin<'a> {
    /// The front door: sessions are found again by whoever comes through the same.
    pub door: BatchDoor,
    pub user_agent: Option<&'a str>,
    /// In order of preference: any of them may be of no use here.
    pub ways: &'a [BatchWay],
    /// Whether the client sends the bytes to a URL and no header that goes with it, and asks for a URL once.
    pub is_plain: bool,
}

/// How the blobs of a batch are sent, all of them alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchWay {
    /// One PUT each.
    Put,
    /// In parts, whose URLs the answer has: for blobs that one PUT is too little for.
    Parts,
    /// As the client and each session agree, request by request: for blobs that are better sent in parts.
    Session,
}

/// What becomes of one blob of a batch.
#[derive(Debug)]
pub enum BatchedUpload {
    /// The repository has it.
    Present,
    Begun {
        id: UploadId,
        /// None where the client asks the session.
        presigned: Option<Presigned>,
        /// When the session ends, unless it gives a sign of life.
        ends_at: DateTime<Utc>,
    },
    Refused(ServiceError),
}

impl Service {
    /// Says of each blob whether the repository has it, or where its bytes go. One that the caller may read elsewhere is
    /// linked; of any other nothing is told (I6). Blobs that are just being proven are waited for.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Busy`] where that takes too long, [`ServiceError::TooManyRequests`] where the caller may begin no
    /// upload at all, [`ServiceError::TooLarge`] where too many blobs would come in parts.
    pub async fn begin_batch(
        self: &Arc<Self>,
        caller: &Caller,
        repository: &RepositoryName,
        wanted: &[WantedBlob],
        origin: BatchOrigin<'_>,
    ) -> Result<Vec<BatchedUpload>> {
        let mut known = self.known_of_batch(caller, repository, wanted, origin.door).await?;
        let linked = self.link_batch(caller, repository, wanted, origin.door, &mut known).await?;
        let mut outcomes: HashMap<Digest, BatchedUpload> = HashMap::with_capacity(wanted.len());
        let mut absent = Vec::new();
        for blob in wanted {
            let there = linked.get(&blob.digest).copied().or_else(|| known.size_of(&blob.digest));
            let outcome = match there {
                None => {
                    absent.push(*blob);
                    continue;
                }
                Some(size) if size == blob.size => BatchedUpload::Present,
                Some(size) => BatchedUpload::Refused(ServiceError::SizeInvalid(format!(
                    "the object has {size} bytes, not {}",
                    blob.size
                ))),
            };
            outcomes.insert(blob.digest, outcome);
        }
        let largest = absent.iter().map(|blob| blob.size).max().unwrap_or_default();
        let fits = |way: &&BatchWay| match way {
            BatchWay::Put => true,
            BatchWay::Parts => largest > MAX_PART_SIZE && !self.storage.parts_need_headers(),
            BatchWay::Session => largest >= MULTIPART_THRESHOLD,
        };
        let way = origin.ways.iter().find(fits).copied().unwrap_or(BatchWay::Put);
        if way == BatchWay::Parts && absent.len() > MOST_IN_PARTS {
            return Err(ServiceError::TooLarge(format!(
                "with an object of more than {MAX_PART_SIZE} bytes a batch has at most {MOST_IN_PARTS} to send"
            )));
        }
        let (mut missing, mut again) = (Vec::new(), Vec::new());
        for blob in absent {
            if let Err(error) = self.check_batched(&blob, way) {
                outcomes.insert(blob.digest, BatchedUpload::Refused(error));
                continue;
            }
            match known.open.iter().find(|upload| self.can_go_on(upload, &blob, way)) {
                Some(upload) => again.push(upload.clone()),
                None => missing.push(blob),
            }
        }
        let (begun, refused) = match self.begin_missing(caller, repository, &missing, way, origin).await {
            // What was begun before is gone on with: it may be what keeps the caller from more.
            Err(ServiceError::TooManyRequests { .. }) if !again.is_empty() || !outcomes.is_empty() => {
                let refused = missing.iter().map(|blob| (blob.digest, Self::too_many_sessions()));
                (Vec::new(), refused.collect())
            }
            begun => begun?,
        };
        self.prolong_batch(&mut again).await?;
        outcomes.extend(refused.into_iter().map(|(digest, error)| (digest, BatchedUpload::Refused(error))));
        outcomes.extend(self.sign_batch([again, begun].concat(), way, origin.is_plain).await);
        let nothing = || BatchedUpload::Refused(ServiceError::Contended);
        Ok(wanted.iter().map(|blob| outcomes.remove(&blob.digest).unwrap_or_else(nothing)).collect())
    }

    /// Where the bytes of each go, with no more parts in all than an answer has room for.
    async fn sign_batch(
        &self,
        uploads: Vec<Upload>,
        way: BatchWay,
        is_plain: bool,
    ) -> Vec<(Digest, BatchedUpload)> {
        if way == BatchWay::Session {
            let begun = |upload: Upload| {
                let begun =
                    BatchedUpload::Begun { id: upload.id, presigned: None, ends_at: upload.expires_at };
                upload.declared_digest.map(|digest| (digest, begun))
            };
            return uploads.into_iter().filter_map(begun).collect();
        }
        let count = u64::try_from(uploads.len()).unwrap_or(u64::MAX).max(1);
        let most = (PARTS_OF_ALL / count).clamp(1, PARTS_OF_EACH);
        let signing = stream::iter(uploads).map(|upload| self.sign_batched(upload, most, is_plain));
        let mut signed: Vec<_> =
            signing.buffered(IN_PARTS_AT_ONCE).filter_map(std::future::ready).collect().await;
        let mut parts = 0;
        for (_, outcome) in &mut signed {
            if let BatchedUpload::Begun { presigned: Some(Presigned::Multipart { plan, .. }), .. } = outcome {
                parts += u64::from(plan.part_count());
                if parts > PARTS_OF_ALL {
                    let message =
                        format!("a batch has at most {PARTS_OF_ALL} parts; send fewer objects at a time");
                    *outcome = BatchedUpload::Refused(ServiceError::TooLarge(message));
                }
            }
        }
        signed
    }

    fn check_batched(&self, blob: &WantedBlob, way: BatchWay) -> Result<()> {
        let most = self.limits.max_blob_size;
        if blob.size > most {
            return Err(ServiceError::TooLarge(format!("a blob may have at most {most} bytes here")));
        }
        match way {
            BatchWay::Put if blob.size > MAX_PART_SIZE => Err(ServiceError::TooLarge(format!(
                "one PUT carries at most {MAX_PART_SIZE} bytes; a larger object takes a client that sends parts"
            ))),
            BatchWay::Parts if blob.size == 0 => Err(ServiceError::Invalid(
                "an empty object has no parts; send it in a batch of its own".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Whether a session that an earlier batch began still waits for this blob, in this way.
    fn can_go_on(&self, upload: &Upload, blob: &WantedBlob, way: BatchWay) -> bool {
        let waits = match upload.active(self.clock.now()) {
            Ok(State::Uploading { transfer: Transfer::Put, .. }) => way != BatchWay::Parts,
            // Of one that is pending the client hung up before the store was asked.
            Ok(State::Uploading { transfer: Transfer::Multipart { .. }, .. } | State::Pending { .. }) => {
                way != BatchWay::Put
            }
            _ => false,
        };
        waits && upload.declared_digest == Some(blob.digest) && upload.size == Some(blob.size)
    }

    /// Where the bytes of one go: signed here, but that the store is asked for an upload in parts once.
    async fn sign_batched(
        &self,
        upload: Upload,
        most_parts: u64,
        is_plain: bool,
    ) -> Option<(Digest, BatchedUpload)> {
        let digest = upload.declared_digest?;
        let upload = match &upload.state {
            State::Pending { .. } => {
                let size = upload.size.unwrap_or_default();
                let request = SignRequest {
                    size: Some(size),
                    digest: Some(digest),
                    mode: Some(SignMode::Multipart),
                    least_part_size: size.div_ceil(most_parts).min(MAX_PART_SIZE),
                    parts: None,
                };
                match self.plan_multipart(upload.clone(), &request).await {
                    Ok(planned) => planned,
                    Err(error) => {
                        self.abandon(upload).await;
                        return Some((digest, BatchedUpload::Refused(error)));
                    }
                }
            }
            _ => upload,
        };
        Some(match self.presigned_whole(&upload, is_plain).await {
            Ok(presigned) => {
                let (id, ends_at) = (upload.id, upload.expires_at);
                (digest, BatchedUpload::Begun { id, presigned: Some(presigned), ends_at })
            }
            Err(error) => (digest, BatchedUpload::Refused(error)),
        })
    }
}
