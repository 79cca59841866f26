//! Uploads that go on after any failure, and whose client tells their length, at the beginning or later: what comes is
//! appended, and the last byte finalizes it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, timeout_at};

use super::append::{Chunk, ChunkChecksum, MAX_PROXIED_PART_SIZE, longer_than_told};
use super::finalize::{ClientHints, Finalized};
use super::settle::PATIENCE_FOR_PROOF;
use crate::domain::access::Caller;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::range::ByteRange;
use crate::domain::upload::{Claim, Refusal, Upload};
use crate::service::{Result, Service, ServiceError};

/// An upload to begin.
#[derive(Debug, Clone)]
pub struct NewResumable {
    pub repository: RepositoryName,
    /// In bytes; none where its client does not know it yet.
    pub length: Option<u64>,
    pub digest: Option<Digest>,
    /// What the client is told again, as it came.
    pub note: String,
}

/// What comes next of an upload.
#[derive(Debug, Clone, Copy)]
pub struct ResumableChunk {
    pub offset: u64,
    /// `Content-Length` in bytes; none for a chunked body.
    pub length: Option<u64>,
    /// Of the chunk; where it does not fit, nothing of the chunk is kept.
    pub checksum: Option<ChunkChecksum>,
    /// The length of the upload, of which nothing was told before.
    pub whole_length: Option<u64>,
    /// It came with the request that begins the upload, whose client knows no place to go on at: where it fails, the upload
    /// is given up.
    pub is_first: bool,
}

impl Service {
    /// The most bytes that a resumable upload may have.
    #[must_use]
    pub fn largest_resumable(&self) -> u64 {
        let part_size = self.limits.part_size.max(MAX_PROXIED_PART_SIZE);
        self.limits.max_blob_size.min(self.storage.largest_proxied(part_size))
    }

    /// Begins an upload; its bytes have room from here on, where their number is known.
    ///
    /// # Errors
    ///
    /// [`ServiceError::TooLarge`] beyond [`Self::largest_resumable`], [`ServiceError::QuotaExceeded`] without room, and
    /// [`ServiceError::TooManyRequests`] where the caller has too many uploads open.
    pub async fn begin_resumable(
        self: &Arc<Self>,
        caller: &Caller,
        new: NewResumable,
        user_agent: Option<&str>,
    ) -> Result<Upload> {
        self.check_length(new.length)?;
        let algorithm = new.digest.map(|digest| digest.algorithm()).unwrap_or_default();
        let mut upload = self.fresh(caller, new.repository, new.digest, algorithm, user_agent);
        upload.set_note(new.note);
        let upload = Upload { size: new.length, reserved: new.length.unwrap_or_default(), ..upload };
        self.within_open_sessions(caller, self.insert(&upload)).await?;
        Ok(upload)
    }

    /// Appends a chunk to an upload that was read for this request, and finalizes it with its last byte: then the answer
    /// has the digest. Goes on when the client is gone.
    ///
    /// # Errors
    ///
    /// [`ServiceError::OffsetMismatch`], [`ServiceError::ChunkMismatch`], [`ServiceError::TooLarge`] for more than was
    /// told, [`ServiceError::SizeInvalid`] for a length that is less than what is there, and those of [`Self::append`] and
    /// [`Self::finish_received`].
    pub async fn append_resumable<B>(
        self: &Arc<Self>,
        caller: &Caller,
        upload: Upload,
        chunk: ResumableChunk,
        body: B,
    ) -> Result<(Upload, Option<Digest>)>
    where
        B: Stream<Item = std::io::Result<Bytes>> + Send + Unpin + 'static,
    {
        upload.active(self.clock.now())?;
        let received = upload.state.received().unwrap_or_default();
        if chunk.offset != received {
            return Err(ServiceError::OffsetMismatch { expected: received });
        }
        let (service, caller) = (Arc::clone(self), caller.clone());
        let work = async move {
            let begun = upload.clone();
            let done = service.append_and_finish(&caller, upload, chunk, body).await;
            if chunk.is_first && done.is_err() {
                service.abandon(begun).await;
            }
            done
        };
        self.outlive(work).await?
    }

    async fn append_and_finish<B>(
        self: &Arc<Self>,
        caller: &Caller,
        upload: Upload,
        chunk: ResumableChunk,
        body: B,
    ) -> Result<(Upload, Option<Digest>)>
    where
        B: Stream<Item = std::io::Result<Bytes>> + Send + Unpin + 'static,
    {
        self.check_length(chunk.whole_length)?;
        let end = chunk.offset.saturating_add(chunk.length.unwrap_or_default());
        match (upload.size, chunk.whole_length) {
            (Some(size), Some(length)) if size != length => return Err(Refusal::Redeclared("size").into()),
            (None, Some(length)) if length < chunk.offset => {
                let message = format!("the upload has {} bytes already, more than its length", chunk.offset);
                return Err(ServiceError::SizeInvalid(message));
            }
            (Some(size), _) | (None, Some(size)) if size < end => return Err(longer_than_told(size)),
            _ => {}
        }
        let range = (end > chunk.offset).then_some(ByteRange { start: chunk.offset, end });
        let (size, checksum) = (chunk.whole_length, chunk.checksum);
        let appended = Chunk { range, length: chunk.length, whole: None, size, checksum };
        let upload = self.append(upload, appended, body).await?;
        match self.finish_received(caller, &upload).await {
            // All bytes are here: whoever asks for the upload next has them finalized.
            Err(ServiceError::Busy(_)) if chunk.is_first => Ok((upload, None)),
            finished => Ok((upload, finished?)),
        }
    }

    /// Finalizes an upload whose last byte has arrived, and gives its digest once the blob can be read; nothing where
    /// more is to come. Asked again it says so again.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Busy`] where it takes longer than clients wait, and those of [`Self::finalize`].
    pub async fn finish_received(
        self: &Arc<Self>,
        caller: &Caller,
        upload: &Upload,
    ) -> Result<Option<Digest>> {
        if upload.size != Some(upload.offset()) {
            return Ok(None);
        }
        let deadline = Instant::now() + PATIENCE_FOR_PROOF;
        let claim = Claim::Computed(upload.algorithm);
        let finishing = async {
            match self.finalize(upload.clone(), claim, ClientHints::default(), caller, true).await? {
                Finalized::Completed(digest) => {
                    self.wait_until_readable(&upload.repository, &digest).await?;
                    Ok(Some(digest))
                }
                // Not of one who waits.
                Finalized::Accepted => Err(ServiceError::Contended),
            }
        };
        let busy = |_| ServiceError::Busy("all bytes are here, and are still being proven".to_owned());
        timeout_at(deadline, finishing).await.map_err(busy)?
    }

    fn check_length(&self, length: Option<u64>) -> Result<()> {
        let most = self.largest_resumable();
        match length {
            Some(length) if length > most => {
                Err(ServiceError::TooLarge(format!("an upload may have at most {most} bytes here")))
            }
            _ => Ok(()),
        }
    }
}
