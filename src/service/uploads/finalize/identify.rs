//! Step 3 where the client tells no digest: find out what the sealed bytes are, by the cheapest way to know. What was
//! found out is persisted, and then proven like a digest that was claimed.

use std::sync::Arc;

use super::seal::changed;
use crate::domain::blob::Proof;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::midstate::Midstate;
use crate::domain::upload::{Phase, Transfer, Upload};
use crate::log_text::chain;
use crate::service::uploads::progress::ProgressCounter;
use crate::service::{Result, Service, ServiceError};
use crate::storage::{Evidence, Sealed};

impl Service {
    /// What sealed bytes are. What they were read for need not be read again: it is evidence from here on.
    pub(super) async fn compute(
        self: &Arc<Self>,
        upload: &Upload,
        transfer: &Transfer,
        sealed: Sealed,
        algorithm: Algorithm,
        midstates: &[Midstate],
        progress: &ProgressCounter,
    ) -> Result<(Digest, Sealed)> {
        if let Transfer::Proxied(stored) = transfer {
            if sealed.size != stored.received {
                return Err(ServiceError::Vanished);
            }
            if let Some(streamed) = stored.digest().filter(|digest| digest.algorithm() == algorithm) {
                return Ok((streamed, sealed));
            }
        }
        let sealed = match sealed.evidence {
            Evidence::ByStaging => {
                progress.enter(Phase::Copying, sealed.size);
                let id = upload.id;
                match self.storage.seal_by_staging(id, &sealed).await {
                    Ok(sealed) => sealed,
                    Err(error) => {
                        tracing::warn!(upload = %id, error = %chain(&error), "no copy tells what it is; it is read");
                        self.storage.seal_for_reading(id, transfer, &sealed).await.map_err(changed)?
                    }
                }
            }
            Evidence::None | Evidence::Digest(..) => sealed,
        };
        if let Evidence::Digest(digest, _) = sealed.evidence
            && digest.algorithm() == algorithm
        {
            return Ok((digest, sealed));
        }
        let digest = self.read_back_by(&sealed, transfer, algorithm, midstates, progress).await?;
        Ok((digest, Sealed { evidence: Evidence::Digest(digest, Proof::ReadBack), ..sealed }))
    }
}
