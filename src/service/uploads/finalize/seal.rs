//! Step 3, its beginning: fix the bytes that will be published, so that whatever a client still sends changes nothing.

use crate::domain::digest::Algorithm;
use crate::domain::upload::{Transfer, Upload};
use crate::service::{Result, Service, ServiceError};
use crate::storage::{Sealed, StorageError};

impl Service {
    /// Seals what was uploaded, of a size that fits.
    pub(super) async fn seal(
        &self,
        upload: &Upload,
        transfer: &Transfer,
        algorithm: Algorithm,
    ) -> Result<Sealed> {
        let bound = upload.declared_digest.is_some();
        let sealed = match self.storage.seal(upload.id, transfer, algorithm, bound).await {
            Ok(sealed) => sealed,
            Err(StorageError::NotFound | StorageError::UploadNotFound) => {
                return Err(nothing_there(transfer));
            }
            Err(error) => return Err(changed(error)),
        };
        self.check_size(upload, &sealed)?;
        Ok(sealed)
    }

    fn check_size(&self, upload: &Upload, sealed: &Sealed) -> Result<()> {
        let (found, most) = (sealed.size, self.limits.max_blob_size);
        match upload.size {
            Some(declared) if declared != found => Err(ServiceError::SizeInvalid(format!(
                "{found} bytes were uploaded where {declared} were declared; the upload has been discarded"
            ))),
            _ if found > most => Err(ServiceError::SizeInvalid(format!(
                "{found} bytes were uploaded; a blob may have at most {most} here; the upload has been discarded"
            ))),
            _ => Ok(()),
        }
    }
}

/// One PUT can be sent again; parts and appends whose bytes are gone cannot.
fn nothing_there(transfer: &Transfer) -> ServiceError {
    match transfer {
        Transfer::Put | Transfer::Redirected => ServiceError::Invalid(
            "nothing has been uploaded to the presigned URL yet; send the bytes, then finalize again"
                .to_owned(),
        ),
        Transfer::Multipart { .. } | Transfer::OpenMultipart { .. } | Transfer::Proxied(_) => {
            ServiceError::Vanished
        }
    }
}

/// A sealed object that is gone or different: the client overwrote it through a URL that still lives.
pub(super) fn changed(error: StorageError) -> ServiceError {
    match error {
        StorageError::Precondition | StorageError::NotFound => ServiceError::Invalid(
            "the uploaded object changed while it was being finalized; send it once, then finalize again"
                .to_owned(),
        ),
        error => error.into(),
    }
}
