//! Where an artifact goes, and how.

use overside_protocol::name::RepositoryName;
use overside_protocol::reference::Tag;

use crate::Client;
use crate::upload::put::PutOptions;

/// How an artifact is copied.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    pub put: PutOptions,
    /// Lets an existing tag mean something else than it did.
    pub replace_tag: bool,
    /// Looks at every blob again, also of manifests that are there.
    pub recheck: bool,
    /// Brings the artifacts that are about this one, too.
    pub referrers: bool,
}

/// Where an artifact goes.
#[derive(Debug, Clone)]
pub struct Target {
    pub client: Client,
    pub repository: RepositoryName,
    pub tag: Option<Tag>,
}
