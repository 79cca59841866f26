//! How long things live and how large they may be, as the operator has set it.

use std::time::Duration;

use super::settings::Settings;

/// The limits that an operator sets when the service starts. The first three hold until an administrator sets something
/// else: see [`Settings`].
#[derive(Debug, Clone)]
pub struct Limits {
    /// A session that gives no sign of life for this long expires.
    pub upload_lifetime: Duration,
    /// Life of a presigned URL.
    pub url_lifetime: Duration,
    /// Whether stock clients that are known to follow are sent to the bucket with what they upload.
    pub redirect_uploads: bool,
    /// How long a replica that died keeps others from taking over.
    pub lease: Duration,
    /// Smallest part of a plan, and the part size of proxied uploads, in bytes.
    pub part_size: u64,
    /// Largest blob taken, in bytes.
    pub max_blob_size: u64,
    /// Age from which a temporary thing that no session knows is removed, or a published one that no row tells of.
    pub sweep_grace: Duration,
    /// How long a blob stays in a repository after the last manifest that needed it was deleted, and in the store
    /// after the last repository.
    pub collect_grace: Duration,
    /// How long the row of an ended session answers questions about it.
    pub retention: Duration,
}

impl Limits {
    /// What holds where no administrator has set anything.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings::new(self.upload_lifetime, self.url_lifetime, self.redirect_uploads)
    }
}
