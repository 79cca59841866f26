//! What this server itself sends to the bucket in bulk: ropes of pieces, sent as they are, again if need be.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::OnceCell;

use super::{CONTENT_TYPE, S3, classify};
use crate::domain::digest::Digest;
use crate::domain::part::{PartNumber, ReceivedPart};
use crate::domain::upload::UploadId;
use crate::storage::key::{self, Key};
use crate::storage::rope::Rope;
use crate::storage::{Result, StorageError};

/// Bytes on their way to the store and their checksum, taken while they are in the processor's cache.
#[derive(Debug)]
pub(super) struct Batch {
    rope: Rope,
    crc: crc_fast::Digest,
}

/// A batch that is complete, ready to be sent any number of times.
#[derive(Debug)]
pub(super) struct Parcel {
    pieces: Vec<Bytes>,
    size: usize,
    crc: u32,
}

/// How the store can tell that what arrived is what was sent. The proof "streamed" rests on it.
///
/// The SDK would sign the SHA-256 of the body: a second SHA-256 of every byte here, and another one in the
/// store, for a third of a push's CPU. TLS authenticates every record, so nothing is needed there; this is what
/// the SDK does with every stream. On plain HTTP a CRC32C at memory speed finds what the network garbles (who
/// could forge one on that wire could as well forge everything that is read back over it). A store that
/// understood it echoes it; the first that does not is sent signed bodies from then on, this one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binding {
    Tls,
    Crc32c,
    Signature,
}

/// What the way to the store was seen to be.
#[derive(Debug, Default)]
pub(super) struct Wire {
    is_tls: OnceCell<bool>,
    /// A store over plain HTTP did not know CRC32C.
    crc_refused: AtomicBool,
}

impl Batch {
    pub fn push(&mut self, bytes: Bytes) {
        self.crc.update(&bytes);
        self.rope.push(bytes);
    }

    pub const fn len(&self) -> usize {
        self.rope.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.rope.is_empty()
    }

    pub fn into_parcel(self) -> Parcel {
        let crc = crc32c(self.crc.finalize());
        Parcel { size: self.rope.len(), crc, pieces: self.rope.into_pieces() }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self { rope: Rope::default(), crc: crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi) }
    }
}

impl Parcel {
    pub const fn size(&self) -> usize {
        self.size
    }

    pub const fn crc(&self) -> u32 {
        self.crc
    }

    pub fn into_pieces(self) -> Vec<Bytes> {
        self.pieces
    }

    fn body(&self, binding: Binding) -> ByteStream {
        if binding == Binding::Signature {
            // The SDK hashes what lies in one piece.
            return ByteStream::from(Bytes::from(self.pieces.concat()));
        }
        let pieces = self.pieces.clone();
        // The handles are copied for another try, not the bytes.
        ByteStream::new(SdkBody::retryable(move || SdkBody::from_body_1_x(Pieces::of(&pieces))))
    }

    fn checksum(&self, binding: Binding) -> Option<String> {
        (binding == Binding::Crc32c).then(|| STANDARD.encode(self.crc.to_be_bytes()))
    }
}

impl S3 {
    pub(super) async fn send_part(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        number: PartNumber,
        parcel: &Parcel,
    ) -> Result<ReceivedPart> {
        let send = |binding| async move {
            let request = self
                .client
                .upload_part()
                .bucket(self.bucket())
                .key(self.path(&key::temp_data(upload)))
                .upload_id(store_upload_id)
                .part_number(i32::from(number.get()))
                .set_checksum_crc32_c(parcel.checksum(binding))
                .body(parcel.body(binding))
                .customize();
            let request = match binding {
                Binding::Signature => request,
                Binding::Tls | Binding::Crc32c => request.disable_payload_signing(),
            };
            let sent = request.send().await.map_err(refused("write a part"))?;
            Ok((sent.checksum_crc32_c, sent.e_tag))
        };
        let etag = self.send_bound(parcel, send).await?;
        let etag = etag.ok_or_else(|| StorageError::unavailable("name the part")("no ETag"))?;
        Ok(ReceivedPart { number, size: parcel.size as u64, etag })
    }

    pub(super) async fn send_object(&self, key: &Key, parcel: &Parcel) -> Result<()> {
        let send = |binding| async move {
            let request = self
                .client
                .put_object()
                .bucket(self.bucket())
                .key(self.path(key))
                .content_type(CONTENT_TYPE)
                .set_checksum_crc32_c(parcel.checksum(binding))
                .body(parcel.body(binding))
                .customize();
            let request = match binding {
                Binding::Signature => request,
                Binding::Tls | Binding::Crc32c => request.disable_payload_signing(),
            };
            let sent = request.send().await.map_err(refused("write an object"))?;
            Ok((sent.checksum_crc32_c, ()))
        };
        self.send_bound(parcel, send).await
    }

    /// Sends with the binding that fits the store, and once more where it turns out not to bind.
    async fn send_bound<T, F>(&self, parcel: &Parcel, send: impl Fn(Binding) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<(Option<String>, T), Refused>>,
    {
        let binding = self.binding(parcel).await?;
        match send(binding).await {
            Ok((echo, told)) if binding != Binding::Crc32c || echo == parcel.checksum(binding) => {
                return Ok(told);
            }
            Err(refused) if binding != Binding::Crc32c || !refused.as_invalid => return Err(refused.error),
            _ => {}
        }
        let (_, told) = send(Binding::Signature).await.map_err(|refused| refused.error)?;
        if !self.wire.crc_refused.swap(true, Ordering::Relaxed) {
            tracing::info!("the store does not answer for CRC32C; what is sent there is signed instead");
        }
        Ok(told)
    }

    async fn binding(&self, parcel: &Parcel) -> Result<Binding> {
        let is_tls = *self.wire.is_tls.get_or_try_init(|| self.speaks_tls()).await?;
        let crc_refused = self.wire.crc_refused.load(Ordering::Relaxed);
        Ok(match (is_tls, crc_refused || parcel.size == 0) {
            (true, _) => Binding::Tls,
            (false, false) => Binding::Crc32c,
            (false, true) => Binding::Signature,
        })
    }

    /// By a URL that the SDK makes: environment and profile may name another endpoint than our settings do.
    async fn speaks_tls(&self) -> Result<bool> {
        let terms = PresigningConfig::expires_in(Duration::from_secs(1));
        let terms = terms.map_err(StorageError::unavailable("sign a URL"))?;
        let request = self
            .client
            .get_object()
            .bucket(self.bucket())
            .key(self.path(&key::blob(&Digest::from_sha256([0; 32]))));
        let signed = request.presigned(terms).await.map_err(classify("sign a URL"))?;
        Ok(signed.uri().starts_with("https:"))
    }

    /// An object of our own of bounded size, in the pieces it comes in.
    pub(super) async fn read_parcel(&self, key: &Key) -> Result<Parcel> {
        let object = self.client.get_object().bucket(self.bucket()).key(self.path(key)).send().await;
        let mut body = object.map_err(classify("read an object"))?.body;
        let mut batch = Batch::default();
        while let Some(bytes) = body.next().await {
            batch.push(bytes.map_err(StorageError::unavailable("read an object"))?);
        }
        Ok(batch.into_parcel())
    }
}

/// Why a store did not take something.
struct Refused {
    error: StorageError,
    /// It did not like the request itself, which another one may mend.
    as_invalid: bool,
}

fn refused<E>(action: &'static str) -> impl FnOnce(SdkError<E, HttpResponse>) -> Refused
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    move |error| {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let error = classify(action)(error);
        let as_invalid = matches!((status, &error), (Some(400 | 501), StorageError::Unavailable { .. }));
        Refused { error, as_invalid }
    }
}

/// The crate gives every CRC as 64 bits.
fn crc32c(wide: u64) -> u32 {
    u32::try_from(wide).unwrap_or_default()
}

/// A rope as an HTTP body of known length.
struct Pieces {
    left: VecDeque<Bytes>,
    size: u64,
}

impl Pieces {
    fn of(pieces: &[Bytes]) -> Self {
        Self {
            left: pieces.iter().cloned().collect(),
            size: pieces.iter().map(|piece| piece.len() as u64).sum(),
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        let next = self.left.pop_front();
        self.size -= next.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.size)
    }
}
