//! A whole blob in one request, through this service.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

use super::append::Chunk;
use super::finalize::{ClientHints, Finalized};
use crate::domain::access::Caller;
use crate::domain::digest::Digest;
use crate::domain::upload::{Claim, Upload};
use crate::service::{Result, Service, ServiceError};

impl Service {
    /// Takes all bytes of a session that has just begun, and finalizes it. Where that fails the session is given up: its
    /// client does not know it, and cannot end it. To be run where it outlives the request ([`Self::outlive`]).
    ///
    /// # Errors
    ///
    /// Those of [`Self::append`] and [`Self::finalize`].
    pub async fn take_whole<B>(
        self: Arc<Self>,
        caller: Caller,
        upload: Upload,
        whole: Chunk,
        claim: Claim,
        body: B,
    ) -> Result<Digest>
    where
        B: Stream<Item = std::io::Result<Bytes>> + Send + Unpin + 'static,
    {
        let taken = async {
            let appended = self.append(upload.clone(), whole, body).await?;
            match self.finalize(appended, claim, ClientHints::default(), &caller, true).await? {
                Finalized::Completed(digest) => Ok(digest),
                // Not of one who waits.
                Finalized::Accepted => Err(ServiceError::Contended),
            }
        };
        let taken = taken.await;
        if taken.is_err() {
            self.abandon(upload).await;
        }
        taken
    }
}
