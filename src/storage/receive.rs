//! Bytes on their way into the store: signed for, received, appended, and put together.

use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use uuid::Uuid;

use super::signed_url::UrlSigner;
use super::{Appender, Lengths, PartSigner, PresignedRequest, PutTerms, Result, Storage, key};
use crate::domain::digest::Digest;
use crate::domain::part::{MAX_OBJECT_SIZE, MAX_PART_COUNT, Part, ReceivedPart};
use crate::domain::upload::{Proxied, UploadId};

impl Storage {
    /// Signs one PUT of the whole blob.
    ///
    /// # Errors
    ///
    /// `Unavailable`: the credentials that sign are not to be had.
    pub async fn presign_put(
        &self,
        upload: UploadId,
        terms: PutTerms,
        lifetime: Duration,
    ) -> Result<PresignedRequest> {
        on!(self, backend => backend.presign_put(upload, terms, lifetime).await)
    }

    /// Signs one PUT for a client that sends nothing but the bytes and their length.
    ///
    /// # Errors
    ///
    /// `Unavailable`: the credentials that sign are not to be had.
    pub async fn presign_plain_put(
        &self,
        upload: UploadId,
        size: u64,
        digest: &Digest,
        lifetime: Duration,
    ) -> Result<PresignedRequest> {
        match self {
            Self::S3(backend) => backend.presign_plain_put(upload, size, digest, lifetime).await,
            // Its own URLs hold the body to a digest by a header alone.
            Self::Filesystem(backend) => {
                backend.presign_put(upload, PutTerms { size: Some(size), digest: None }, lifetime).await
            }
        }
    }

    /// Signs the one PUT that a stock client is redirected to. None where there is no bucket for it to go to, or where
    /// the bucket's URLs permit too much without headers that only clients of ours send.
    ///
    /// # Errors
    ///
    /// `Unavailable`: the credentials that sign are not to be had.
    pub async fn presign_redirect(
        &self,
        upload: UploadId,
        size: u64,
        digest: &Digest,
        lifetime: Duration,
    ) -> Result<Option<PresignedRequest>> {
        match self {
            Self::S3(backend) => backend.presign_redirect(upload, size, digest, lifetime).await,
            Self::Filesystem(_) => Ok(None),
        }
    }

    /// Whether clients may ever have been redirected here with their uploads.
    #[must_use]
    pub const fn takes_redirects(&self) -> bool {
        match self {
            Self::S3(_) => true,
            Self::Filesystem(_) => false,
        }
    }

    /// The size of what a client has put to an upload's URL, in bytes; none while there is nothing.
    ///
    /// # Errors
    ///
    /// What the store refuses, and `Unavailable`.
    pub async fn arrived(&self, upload: UploadId) -> Result<Option<u64>> {
        match self {
            Self::S3(backend) => backend.size(&key::temp_data(upload)).await,
            Self::Filesystem(_) => Ok(None),
        }
    }

    /// Prepares to sign the parts of a multipart upload.
    ///
    /// # Errors
    ///
    /// `Unavailable`: the credentials that sign are not to be had.
    pub async fn part_signer(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        lengths: Lengths,
        lifetime: Duration,
    ) -> Result<PartSigner> {
        match self {
            Self::S3(backend) => backend.part_signer(upload, store_upload_id, lengths, lifetime).await,
            Self::Filesystem(backend) => {
                Ok(PartSigner::Own(Box::new(backend.part_signer(upload, lengths, lifetime))))
            }
        }
    }

    /// Whether clients have to send more with a part than its bytes, so that its URL permits nothing else.
    #[must_use]
    pub fn parts_need_headers(&self) -> bool {
        match self {
            Self::S3(backend) => backend.capabilities().url_guards().is_some_and(|guards| guards.copy_source),
            Self::Filesystem(_) => false,
        }
    }

    /// Whether clients that send no header but their own can be sent to the store with parts.
    #[must_use]
    pub fn redirects_parts(&self) -> bool {
        match self {
            Self::S3(backend) => {
                backend.capabilities().url_guards().is_some_and(|guards| !guards.copy_source)
            }
            Self::Filesystem(_) => false,
        }
    }

    /// Whether parts can be taken whose lengths nobody tells before: not into one file, where each has its place.
    #[must_use]
    pub const fn takes_open_parts(&self) -> bool {
        match self {
            Self::S3(_) => true,
            Self::Filesystem(_) => false,
        }
    }

    /// What signs the URLs that lead back to this service, and checks those that come back. None where this process
    /// signs none.
    #[must_use]
    pub const fn own_urls(&self) -> Option<&UrlSigner> {
        match self {
            Self::S3(backend) => backend.own_urls(),
            Self::Filesystem(backend) => Some(backend.signer()),
        }
    }

    /// Takes the body of a PUT that this service signed, and tells the ETag that it got. A body that is not what
    /// `terms` say, or longer than `max_size` bytes, does not count.
    ///
    /// # Errors
    ///
    /// `UploadNotFound` once there is no place for it any more, `ChecksumMismatch`,
    /// `TooLarge`, `Incomplete` where the body is not what was signed,
    /// `Busy` where a newer request sends it, `Full`.
    pub async fn receive_put(
        &self,
        upload: UploadId,
        terms: PutTerms,
        max_size: u64,
        body: impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    ) -> Result<String> {
        match self {
            Self::S3(backend) => backend.receive_put(upload, terms, max_size, body).await,
            Self::Filesystem(backend) => backend.receive_put(upload, terms, max_size, body).await,
        }
    }

    /// Takes the body of a part that this service signed, and tells the ETag that it got. A body of another length
    /// does not count.
    ///
    /// # Errors
    ///
    /// As [`Self::receive_put`].
    pub async fn receive_part(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        part: Part,
        body: impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    ) -> Result<String> {
        match self {
            Self::S3(backend) => backend.receive_part(upload, store_upload_id, part, body).await,
            Self::Filesystem(backend) => backend.receive_part(upload, part, body).await,
        }
    }

    /// Begins a multipart upload to the upload's data key and names it.
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Refused`: the store began none.
    pub async fn create_multipart(&self, upload: UploadId) -> Result<String> {
        on!(self, backend => backend.create_multipart(upload).await)
    }

    /// The parts that have arrived, in order.
    ///
    /// # Errors
    ///
    /// `UploadNotFound` once it is completed or aborted.
    pub async fn list_parts(&self, upload: UploadId, store_upload_id: &str) -> Result<Vec<ReceivedPart>> {
        on!(self, backend => backend.list_parts(upload, store_upload_id).await)
    }

    /// Makes one object of the parts, insisting on their ETags.
    ///
    /// # Errors
    ///
    /// `UploadNotFound` once it is gone, `InvalidPart` where a part is not the one named.
    pub async fn complete_multipart(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        parts: &[ReceivedPart],
    ) -> Result<()> {
        on!(self, backend => backend.complete_multipart(upload, store_upload_id, parts).await)
    }

    /// Gives up a multipart upload; one that is gone is fine.
    ///
    /// # Errors
    ///
    /// `Unavailable`: it may be there still.
    pub async fn abort_multipart(&self, upload: UploadId, store_upload_id: &str) -> Result<()> {
        on!(self, backend => backend.abort_multipart(upload, store_upload_id).await)
    }

    /// Opens a proxied upload for appending at its offset; `lease` names what this append writes anew.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Precondition` where what was acknowledged is gone or shorter;
    /// `Busy` while somebody else writes, `UploadNotFound` once it is sealed or discarded.
    pub async fn append(
        &self,
        upload: UploadId,
        stored: &Proxied,
        lease: Uuid,
        caller: &str,
    ) -> Result<Appender> {
        Ok(match self {
            Self::S3(backend) => Appender::S3(Box::new(backend.append(upload, stored, lease, caller).await?)),
            Self::Filesystem(backend) => Appender::Filesystem(backend.append(upload, stored).await?),
        })
    }

    /// How many bytes a proxied upload in parts of this size can hold.
    #[must_use]
    pub const fn largest_proxied(&self, part_size: u64) -> u64 {
        match self {
            Self::S3(_) => part_size.saturating_mul(MAX_PART_COUNT as u64),
            Self::Filesystem(_) => MAX_OBJECT_SIZE,
        }
    }

    /// Removes a tail object that a later append has taken in.
    ///
    /// # Errors
    ///
    /// `Unavailable`: it may be there still.
    pub async fn remove_tail(&self, upload: UploadId, tail: Uuid) -> Result<()> {
        match self {
            Self::S3(backend) => backend.remove(&key::temp_tail(upload, tail)).await,
            Self::Filesystem(_) => Ok(()),
        }
    }

    /// Makes one object of a proxied upload's parts (in order, all of them) and its tail.
    ///
    /// # Errors
    ///
    /// `NotFound` without the tail, and those of [`Self::complete_multipart`].
    pub async fn assemble_proxied(
        &self,
        upload: UploadId,
        stored: &Proxied,
        parts: &[ReceivedPart],
    ) -> Result<()> {
        match self {
            Self::S3(backend) => backend.assemble_proxied(upload, stored, parts).await,
            // The file has them all, one after the other.
            Self::Filesystem(_) => Ok(()),
        }
    }
}
