//! The bytes of a blob that is uploaded: in a file, in memory, or in another registry.

use std::io;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use overside_protocol::digest::Digest;
use reqwest::{Body, StatusCode};

use crate::files::source::FileSource;
use crate::progress::SentBytes;
use crate::{Registry, Repository, Result};

/// Bytes that can be read from anywhere, again and again: a failed request begins where it has to.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    File(FileSource),
    /// Configs and the like; nothing large.
    Bytes(Bytes),
    Remote(Box<RemoteBlob>),
}

/// A blob of a registry, read in ranges as it is needed and never kept.
#[derive(Debug, Clone)]
pub(crate) struct RemoteBlob {
    pub repository: Repository,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

/// The bytes of a request's body.
pub(crate) type ByteStream = BoxStream<'static, io::Result<Bytes>>;

impl Content {
    /// In bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::File(file) => file.size(),
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Remote(blob) => blob.size,
        }
    }

    /// [`crate::Error::FileChanged`] if a file is not the one that was opened.
    pub(crate) async fn check_unchanged(&self) -> Result<()> {
        match self {
            Self::File(file) => file.check_unchanged().await,
            Self::Bytes(_) | Self::Remote(_) => Ok(()),
        }
    }

    /// Streams `size` bytes from `offset`.
    pub(crate) async fn stream(&self, offset: u64, size: u64) -> Result<ByteStream> {
        Ok(match self {
            Self::File(file) => file.stream(offset, size).await?.boxed(),
            Self::Bytes(bytes) => {
                let position = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                let section = bytes.slice(position(offset)..position(offset.saturating_add(size)));
                stream::iter([Ok(section)]).boxed()
            }
            Self::Remote(blob) => blob.stream(offset, size).await?,
        })
    }
}

impl Registry {
    /// A request's body: counted, and as fast as the limit allows.
    pub(crate) fn body(&self, stream: ByteStream, sent: &SentBytes) -> Body {
        let (rate, sent) = (self.rate.clone(), sent.clone());
        Body::wrap_stream(stream.and_then(move |bytes| {
            let (rate, sent) = (rate.clone(), sent.clone());
            async move {
                if let Some(rate) = rate {
                    rate.wait(bytes.len() as u64).await;
                }
                sent.add(bytes.len());
                Ok(bytes)
            }
        }))
    }
}

impl RemoteBlob {
    async fn stream(&self, offset: u64, size: u64) -> Result<ByteStream> {
        if size == 0 {
            return Ok(stream::empty().boxed());
        }
        let end = (offset > 0 || size < self.size).then(|| offset.saturating_add(size));
        let response = self.repository.open_blob(&self.digest, offset, end).await;
        let response = response.map_err(|failure| failure.error)?;
        // A server may ignore Range and send everything (RFC 9110 §14.2).
        let skip = if response.status() == StatusCode::OK { offset } else { 0 };
        let bytes = response.bytes_stream().map_err(|error| io::Error::other(error.without_url()));
        Ok(section(bytes, skip, size).boxed())
    }
}

/// `size` bytes of a stream, after the first `skip`.
fn section(
    bytes: impl futures_util::Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
    skip: u64,
    size: u64,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold((bytes, skip, size), |(mut bytes, mut skip, mut left)| async move {
        while left > 0 {
            let Some(mut chunk) = bytes.try_next().await? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= known as u64;
            let mut fresh = chunk.split_off(known);
            fresh.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            if !fresh.is_empty() {
                left -= fresh.len() as u64;
                return Ok(Some((fresh, (bytes, skip, left))));
            }
        }
        Ok(None)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_section_is_cut_out_of_whatever_chunks_come() {
        let chunks = || stream::iter(["ab", "", "cde", "f"].map(|chunk| Ok(Bytes::from(chunk))));
        for skip in 0..=6 {
            for size in 0..=6 - skip {
                let got: Vec<_> = section(chunks(), skip, size).try_collect().await.unwrap_or_default();
                let (from, to) =
                    (usize::try_from(skip).unwrap_or(9), usize::try_from(skip + size).unwrap_or(9));
                assert_eq!(got.concat(), "abcdef".as_bytes()[from..to], "{skip} {size}");
            }
        }
        assert!(section(chunks(), 3, 4).try_collect::<Vec<_>>().await.is_err());
    }
}
