//! A blob's bytes by way of this server.

use std::io;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::S3;
use crate::domain::range::ByteRange;
use crate::storage::key::Key;
use crate::storage::{Result, Sealed, StorageError};

impl S3 {
    /// An object's bytes as a stream that goes on where a connection to the store breaks. One piece is held ahead of
    /// whoever reads. [`StorageError::Precondition`] for a range that the object does not have.
    pub(in crate::storage) async fn open(
        &self,
        key: Key,
        range: Option<ByteRange>,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>> {
        let object: Sealed = self.head(key).await?.into();
        let range = range.unwrap_or(ByteRange { start: 0, end: object.size });
        if range.start > range.end || range.end > object.size {
            return Err(StorageError::Precondition);
        }
        if range.length() == 0 {
            return Ok(stream::empty().boxed());
        }
        let (to, pieces) = mpsc::channel(1);
        let store = self.clone();
        // Ends with the stream, whoever drops that.
        let reading =
            AbortOnDropHandle::new(tokio::spawn(async move { store.read(&object, range, &to).await }));
        Ok(stream::unfold((pieces, Some(reading)), |(mut pieces, reading)| async move {
            if let Some(piece) = pieces.recv().await {
                return Some((Ok(piece), (pieces, reading)));
            }
            // The end, or why it is none: a body that breaks off must not look whole.
            let error = match reading?.await {
                Ok(Ok(())) => return None,
                Ok(Err(error)) => io::Error::other(error),
                Err(error) => io::Error::other(error),
            };
            Some((Err(error), (pieces, None)))
        })
        .boxed())
    }
}
