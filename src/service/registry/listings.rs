//! Tags, repositories and referrers, a page at a time: memory is that of a page, whatever there is.

use crate::db::Referrer;
use crate::domain::access::{Authority, Caller};
use crate::domain::blob::ListedBlob;
use crate::domain::digest::Digest;
use crate::domain::media_type::MediaType;
use crate::domain::name::RepositoryName;
use crate::service::accounts::access::{is_unbound, reader};
use crate::service::{Result, Service, ServiceError};

/// Most entries on a page: at 128 characters a tag, 130 KiB of JSON.
pub const MAX_PAGE: u32 = 1_000;
/// Most annotations on a page of referrers, in bytes: a page is a manifest, which clients read up to 4 MiB. The rest of
/// 1,000 descriptors takes at most a megabyte. A referrer that has more alone on its page has them within its own
/// 4 MiB.
const MAX_REFERRER_ANNOTATIONS: u32 = 2 * 1024 * 1024;

/// Some entries, and whether there are more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub entries: Vec<T>,
    pub has_more: bool,
}

impl<T> Page<T> {
    /// Of entries that were asked for with one more than `limit`.
    pub(super) fn cut(mut entries: Vec<T>, limit: u32) -> Self {
        let has_more = entries.len() > limit as usize;
        entries.truncate(limit as usize);
        Self { entries, has_more }
    }
}

impl Service {
    /// A repository's tags after `last`, in the order of their bytes; at most `limit`.
    pub async fn tags(&self, repository: &RepositoryName, last: &str, limit: u32) -> Result<Page<String>> {
        let limit = limit.min(MAX_PAGE);
        let tags = self.db.tags(repository, last, limit + 1).await?;
        if tags.is_empty() && !self.db.has_repository(repository).await? {
            return Err(ServiceError::RepositoryUnknown);
        }
        Ok(Page::cut(tags, limit))
    }

    /// A repository's blobs after the one numbered `last`, in the order in which the registry first got them; at most
    /// `limit`, each with its number.
    pub async fn blobs(
        &self,
        repository: &RepositoryName,
        last: i64,
        limit: u32,
    ) -> Result<Page<(i64, ListedBlob)>> {
        let limit = limit.min(MAX_PAGE);
        let blobs = self.db.repository_blobs(repository, last, limit + 1).await?;
        if blobs.is_empty() && !self.db.has_repository(repository).await? {
            return Err(ServiceError::RepositoryUnknown);
        }
        Ok(Page::cut(blobs, limit))
    }

    /// Repositories after `last` that the caller may pull from, in the order of their bytes; at most `limit`.
    pub async fn repositories(&self, caller: &Caller, last: &str, limit: u32) -> Result<Page<String>> {
        let limit = limit.min(MAX_PAGE);
        let authority = self.account_of(caller).await?;
        let repositories = if is_unbound(&authority) {
            // Where nobody signs in, repositories have no project that is anybody's.
            let with_unowned = matches!(authority, Authority::Unchecked);
            self.db.repositories(last, limit + 1, with_unowned).await?
        } else {
            self.db.visible_repositories(&reader(&authority), last, limit + 1).await?
        };
        Ok(Page::cut(repositories, limit))
    }

    /// Manifests about `subject` after `last`, in the order of their digests' bytes, whatever the algorithm; at most
    /// `limit`, and fewer where they carry long annotations. The subject need not be there.
    pub async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        last: Option<&Digest>,
        limit: u32,
    ) -> Result<Page<Referrer>> {
        let bounds = (limit.min(MAX_PAGE), MAX_REFERRER_ANNOTATIONS);
        let (entries, has_more) = self.db.referrers(repository, subject, artifact_type, last, bounds).await?;
        Ok(Page { entries, has_more })
    }
}
