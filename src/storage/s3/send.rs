//! What this server itself sends to the bucket in bulk, and what binds it to what arrives there.

use std::error::Error;
use std::sync::atomic::Ordering;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;

use super::part_body::{PartBody, PartBuffer};
use super::{CONTENT_TYPE, S3, classify};
use crate::domain::part::{PartNumber, ReceivedPart};
use crate::storage::key::Key;
use crate::storage::{Result, StorageError};

/// How the store can tell that what arrived is what was sent. The proof "streamed" rests on it.
///
/// The SDK would sign the SHA-256 of the body: a second SHA-256 of every byte here, and another one in the
/// store. TLS authenticates every record, so nothing is needed there; this is what the SDK does with every
/// stream. On plain HTTP a CRC32C, at the speed of memory, finds what the network garbles (who could forge one
/// on that wire could as well forge everything that is read back over it). A store that understood it echoes
/// it; one that does not is sent signed bodies from then on, this one included. Not on TLS: Amazon S3 refuses a
/// part with a checksum where the multipart upload did not declare one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binding {
    Tls,
    Crc32c,
    Signature,
}

impl S3 {
    pub(super) async fn send_part(
        &self,
        key: &Key,
        store_upload_id: &str,
        number: PartNumber,
        part_body: &PartBody,
    ) -> Result<ReceivedPart> {
        let send = |binding: Binding| async move {
            let request = self
                .client
                .upload_part()
                .bucket(self.bucket())
                .key(self.path(key))
                .upload_id(store_upload_id)
                .part_number(i32::from(number.get()))
                .set_checksum_crc32_c(binding.checksum(part_body))
                .body(binding.body(part_body))
                .customize();
            let request = match binding {
                Binding::Signature => request,
                Binding::Tls | Binding::Crc32c => request.disable_payload_signing(),
            };
            let sent = request.send().await.map_err(refused("write a part"))?;
            Ok((sent.checksum_crc32_c, sent.e_tag))
        };
        let etag = self.send_bound(part_body, send).await?;
        let etag = etag.ok_or_else(|| StorageError::unavailable("name the part")("no ETag"))?;
        Ok(ReceivedPart { number, size: part_body.size as u64, etag })
    }

    pub(super) async fn send_object(&self, key: &Key, part_body: &PartBody) -> Result<()> {
        let send = |binding: Binding| async move {
            let request = self
                .client
                .put_object()
                .bucket(self.bucket())
                .key(self.path(key))
                .content_type(CONTENT_TYPE)
                .set_checksum_crc32_c(binding.checksum(part_body))
                .body(binding.body(part_body))
                .customize();
            let request = match binding {
                Binding::Signature => request,
                Binding::Tls | Binding::Crc32c => request.disable_payload_signing(),
            };
            let sent = request.send().await.map_err(refused("write an object"))?;
            Ok((sent.checksum_crc32_c, ()))
        };
        self.send_bound(part_body, send).await
    }

    /// Sends with the binding that fits the store, and once more where it turns out not to bind.
    async fn send_bound<T, F>(&self, part_body: &PartBody, send: impl Fn(Binding) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<(Option<String>, T), Refused>>,
    {
        let binding = self.binding(part_body).await?;
        match send(binding).await {
            Ok((echo, told)) if binding != Binding::Crc32c || echo == binding.checksum(part_body) => {
                return Ok(told);
            }
            Err(refused) if binding != Binding::Crc32c || !refused.as_invalid => return Err(refused.error),
            _ => {}
        }
        let (_, told) = send(Binding::Signature).await.map_err(|refused| refused.error)?;
        if !self.no_crc32c.swap(true, Ordering::Relaxed) {
            tracing::info!("the store does not answer for CRC32C; what is sent there is signed instead");
        }
        Ok(told)
    }

    async fn binding(&self, part_body: &PartBody) -> Result<Binding> {
        let is_tls = self.own_signer.is_tls().await?;
        let no_crc32c = self.no_crc32c.load(Ordering::Relaxed);
        Ok(match (is_tls, no_crc32c || part_body.size == 0) {
            (true, _) => Binding::Tls,
            (false, false) => Binding::Crc32c,
            (false, true) => Binding::Signature,
        })
    }

    /// An object of our own of bounded size, in the pieces it comes in.
    pub(super) async fn read_part_body(&self, key: &Key) -> Result<PartBody> {
        let object = self.client.get_object().bucket(self.bucket()).key(self.path(key)).send().await;
        let mut body = object.map_err(classify("read an object"))?.body;
        let mut batch = PartBuffer::default();
        while let Some(bytes) = body.next().await {
            batch.push(bytes.map_err(StorageError::unavailable("read an object"))?);
        }
        Ok(batch.into_body())
    }
}

impl Binding {
    fn body(self, part_body: &PartBody) -> ByteStream {
        if self == Self::Signature { part_body.joined() } else { part_body.streamed() }
    }

    fn checksum(self, part_body: &PartBody) -> Option<String> {
        (self == Self::Crc32c).then(|| part_body.checksum())
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
        let as_invalid = matches!(
            (status, &error),
            (
                Some(400 | 501),
                StorageError::Refused { .. }
                    | StorageError::Unsupported { .. }
                    | StorageError::Unavailable { .. }
            )
        );
        Refused { error, as_invalid }
    }
}

#[cfg(test)]
mod tests;
