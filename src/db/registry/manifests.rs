//! Manifests and what they refer to.
//!
//! A push checks, stores, links and tags in one transaction. It locks the links that it needs, in the order that
//! all take; whoever takes links away or marks them does the same, and looks at what needs them afterwards. So a
//! blob is marked exactly while no manifest of its repository refers to it. Links are locked before manifests, and
//! those before tags, each in order, so that nobody waits in a circle. A project that has limits comes before all.

// Statements.
pub(in crate::db) mod texts;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use sqlx::FromRow;

use crate::db::registry::links::MARK_UNNEEDED;
use crate::db::registry::manifests::texts::{
    CHILDREN, DELETE, DESCRIBE_BY_DIGEST, DESCRIBE_BY_TAG, FIND_BY_DIGEST, FIND_BY_TAG, INSERT, INSERT_BLOBS,
    INSERT_CHILDREN, KEEP, LISTED_BY, LOCK, LOCK_LINKS, LOCK_REFERENCES, LOCK_TAGS, REFERENCES, THERE,
    UPSERT_TAGS,
};
use crate::db::rows::signed;
use crate::db::text::digests;
use crate::db::upkeep::quotas::{self, QuotaHeadroom, lock_project};
use crate::db::upkeep::webhooks::{ENQUEUE, INSERT_EVENTS, News, add_events, told_tags};
use crate::db::{Db, Result, in_transaction, on_pool};
use crate::domain::digest::Digest;
use crate::domain::manifest::Manifest;
use crate::domain::media_type::MediaType;
use crate::domain::name::RepositoryName;
use crate::domain::quota::QuotaKind;
use crate::domain::reference::{Reference, Tag};
use crate::domain::webhook::{EventType, Occasion};

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    Done,
    /// Blobs and manifests that it refers to and that the repository does not have. Nothing was written.
    Missing(Vec<Digest>),
}

/// What became of a manifest that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    Done,
    Unknown,
    /// This index lists it; it stays.
    Listed(Digest),
}

/// A manifest, byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct StoredManifest {
    pub digest: Digest,
    pub media_type: MediaType,
    pub payload: Vec<u8>,
}

/// A manifest without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestDescription {
    pub digest: Digest,
    pub media_type: MediaType,
    /// In bytes.
    pub size: u64,
}

#[derive(Debug, FromRow)]
struct DescriptionRow {
    digest: Digest,
    media_type: MediaType,
    size: i64,
}

impl From<DescriptionRow> for ManifestDescription {
    fn from(row: DescriptionRow) -> Self {
        Self { digest: row.digest, media_type: row.media_type, size: row.size.unsigned_abs() }
    }
}

impl Db {
    /// Stores a manifest with these tags, if everything it needs is there. Most have no manifests below them, and no
    /// blob that was unreferenced: what there is nothing of costs no round trip.
    ///
    /// # Errors
    ///
    /// [`crate::db::DbError::QuotaExceeded`] where its bytes or its tags do not fit into the project.
    pub async fn push_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        manifest: Arc<Manifest>,
        payload: Bytes,
        tags: &BTreeSet<Tag>,
        occasion: &Occasion,
    ) -> Result<Pushed> {
        let (now, occasion) = (occasion.at, occasion.clone());
        let (enqueue, insert_events) = (self.text(ENQUEUE), self.text(INSERT_EVENTS));
        let (lock, children) = (self.text(LOCK_LINKS), self.text(CHILDREN));
        let (blobs, insert_children) = (self.text(INSERT_BLOBS), self.text(INSERT_CHILDREN));
        let (keep, upsert_tags) = (self.text(KEEP), self.text(UPSERT_TAGS));
        let annotations = annotations(&manifest);
        let wanted = digests(manifest.blobs.iter().chain(&manifest.foreign_blobs).chain(&manifest.manifests));
        let tags: Vec<_> = tags.iter().map(ToString::to_string).collect();
        let (lock_project, take, there) =
            (self.text(quotas::LOCK), self.text(quotas::TAKE), self.text(THERE));
        let project = repository.project();
        let (repository, digest) = (repository.to_string(), *digest);
        // SQLite has one writer: whoever pushes what will be refused must not keep the others from being it.
        if let Self::Sqlite(pool) = self {
            let links = sqlx::query_as(lock).bind(&repository).bind(&wanted).fetch_all(pool).await?;
            let listed = sqlx::query_as(children).bind(&repository).bind(digests(&manifest.manifests));
            let missing = missing(&manifest, &links, &listed.fetch_all(pool).await?);
            if !missing.is_empty() {
                return Ok(Pushed::Missing(missing));
            }
            if let Some(headroom) = self.quota_headroom(&project).await? {
                let found =
                    sqlx::query_as(there).bind(&repository).bind(digest).bind(serde_json::json!(tags));
                check(&headroom, found.fetch_one(pool).await?, payload.len(), tags.len())?;
            }
        }
        // What it needs would be in the repository, which has its row then.
        if manifest.blobs.is_empty() && manifest.manifests.is_empty() {
            self.make_repository(&repository).await?;
        }
        in_transaction!(self, transaction => {
            let headroom = lock_project!(transaction, lock_project, take, &project);
            let links = sqlx::query_as(lock).bind(&repository).bind(&wanted);
            let links: Vec<LinkRow> = links.fetch_all(&mut *transaction).await?;
            let is_any_unreferenced = links.iter().any(|(_, _, is_unreferenced)| *is_unreferenced);
            let mut listed: Vec<ChildRow> = Vec::new();
            if !manifest.manifests.is_empty() {
                let found = sqlx::query_as(children).bind(&repository).bind(digests(&manifest.manifests));
                listed = found.fetch_all(&mut *transaction).await?;
            }
            let missing = missing(&manifest, &links, &listed);
            if missing.is_empty() {
                if let Some(headroom) = headroom {
                    let found =
                        sqlx::query_as(there).bind(&repository).bind(digest).bind(serde_json::json!(tags));
                    check(&headroom, found.fetch_one(&mut *transaction).await?, payload.len(), tags.len())?;
                }
                let inserted = sqlx::query_scalar(INSERT)
                    .bind(&repository)
                    .bind(digest)
                    .bind(&manifest.media_type)
                    .bind(&manifest.artifact_type)
                    .bind(&annotations)
                    .bind(manifest.subject)
                    .bind(payload.as_ref())
                    .bind(now)
                    .bind(project.as_str());
                let has_webhooks: Option<bool> = inserted.fetch_optional(&mut *transaction).await?;
                let links: serde_json::Value = links.iter().map(|(blob, _, _)| *blob).collect();
                sqlx::query(blobs).bind(&repository).bind(digest).bind(&links).execute(&mut *transaction).await?;
                if !listed.is_empty() {
                    sqlx::query(insert_children)
                        .bind(&repository)
                        .bind(digest)
                        .bind(listed.iter().map(|(child, _)| *child).collect::<serde_json::Value>())
                        .execute(&mut *transaction)
                        .await?;
                }
                if is_any_unreferenced {
                    sqlx::query(keep).bind(&repository).bind(&links).execute(&mut *transaction).await?;
                }
                if !tags.is_empty() {
                    sqlx::query(upsert_tags)
                        .bind(&repository)
                        .bind(digest)
                        .bind(now)
                        .bind(serde_json::json!(tags))
                        .execute(&mut *transaction)
                        .await?;
                }
                if has_webhooks.unwrap_or(true) {
                    let tags = told_tags(tags, &digest);
                    let place = (project.as_str(), repository.as_str());
                    let news = News::of_artifact(EventType::Push, place, digest, &tags, &occasion);
                    add_events!(transaction, (enqueue, insert_events), &news);
                }
                Pushed::Done
            } else {
                Pushed::Missing(missing)
            }
        })
    }

    pub async fn find_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<StoredManifest>> {
        Ok(on_pool!(self, pool => match reference {
            Reference::Tag(tag) => sqlx::query_as(FIND_BY_TAG).bind(repository).bind(tag.as_str()),
            Reference::Digest(digest) => sqlx::query_as(FIND_BY_DIGEST).bind(repository).bind(digest),
        }
        .fetch_optional(pool)
        .await)?)
    }

    pub async fn describe_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<ManifestDescription>> {
        let row: Option<DescriptionRow> = on_pool!(self, pool => match reference {
            Reference::Tag(tag) => sqlx::query_as(DESCRIBE_BY_TAG).bind(repository).bind(tag.as_str()),
            Reference::Digest(digest) => sqlx::query_as(DESCRIBE_BY_DIGEST).bind(repository).bind(digest),
        }
        .fetch_optional(pool)
        .await)?;
        Ok(row.map(ManifestDescription::from))
    }

    /// Deletes a manifest and its tags, and marks the blobs that no other one needs.
    pub async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        occasion: &Occasion,
    ) -> Result<Deleted> {
        // Again only after a push of the same manifest that came in between.
        loop {
            if let Some(deleted) = self.try_delete_manifest(repository, digest, occasion).await? {
                return Ok(deleted);
            }
        }
    }

    /// None when the manifest refers to other blobs than those whose links are locked: it has just come, or a foreign
    /// layer of it has.
    async fn try_delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        occasion: &Occasion,
    ) -> Result<Option<Deleted>> {
        let occasion = occasion.clone();
        let (enqueue, insert_events) = (self.text(ENQUEUE), self.text(INSERT_EVENTS));
        let project = repository.project();
        let (lock_links, lock, lock_tags) =
            (self.text(LOCK_REFERENCES), self.text(LOCK), self.text(LOCK_TAGS));
        let mark = self.text(MARK_UNNEEDED);
        let (repository, digest) = (repository.to_string(), *digest);
        in_transaction!(self, transaction => {
            let references = sqlx::query_scalar(REFERENCES).bind(&repository).bind(digest);
            let references: BTreeSet<i64> =
                references.fetch_all(&mut *transaction).await?.into_iter().collect();
            let links = serde_json::json!(references);
            sqlx::query(lock_links).bind(&repository).bind(&links).execute(&mut *transaction).await?;
            let manifest = sqlx::query_scalar(lock).bind(&repository).bind(digest);
            let manifest: Option<i64> = manifest.fetch_optional(&mut *transaction).await?;
            let Some(manifest) = manifest else { return Ok(Some(Deleted::Unknown)) };
            let index = sqlx::query_scalar(LISTED_BY).bind(manifest);
            let index: Option<Digest> = index.fetch_optional(&mut *transaction).await?;
            if let Some(index) = index {
                return Ok(Some(Deleted::Listed(index)));
            }
            let locked = sqlx::query_scalar(REFERENCES).bind(&repository).bind(digest);
            let locked: BTreeSet<i64> = locked.fetch_all(&mut *transaction).await?.into_iter().collect();
            if locked != references {
                return Ok(None);
            }
            let tags = sqlx::query_scalar(lock_tags).bind(manifest);
            let tags: Vec<String> = tags.fetch_all(&mut *transaction).await?;
            sqlx::query(DELETE).bind(manifest).execute(&mut *transaction).await?;
            sqlx::query(mark).bind(&repository).bind(&links).bind(occasion.at).execute(&mut *transaction).await?;
            let tags = told_tags(tags, &digest);
            let place = (project.as_str(), repository.as_str());
            let news = News::of_artifact(EventType::Delete, place, digest, &tags, &occasion);
            add_events!(transaction, (enqueue, insert_events), &news);
            Some(Deleted::Done)
        })
    }
}

/// Whether a project has room for a manifest of so many bytes and for so many tags, of which some are there. Should
/// those be deleted now, that makes the room they need.
fn check(
    headroom: &QuotaHeadroom,
    (is_there, tags_there): (bool, i64),
    bytes: usize,
    tags: usize,
) -> Result<()> {
    headroom.check(QuotaKind::Bytes, if is_there { 0 } else { signed(bytes as u64) })?;
    headroom.check(QuotaKind::Tags, signed(tags as u64) - tags_there)
}

/// A blob that the repository has: its id, its digest, and whether no manifest needs it any more.
type LinkRow = (i64, Digest, bool);
/// A manifest that the repository has.
type ChildRow = (i64, Digest);

/// What a manifest needs that is neither linked nor listed in its repository.
fn missing(manifest: &Manifest, links: &[LinkRow], listed: &[ChildRow]) -> Vec<Digest> {
    let links: BTreeSet<&Digest> = links.iter().map(|(_, digest, _)| digest).collect();
    let listed: BTreeSet<&Digest> = listed.iter().map(|(_, digest)| digest).collect();
    let blobs = manifest.blobs.iter().filter(|digest| !links.contains(digest));
    let manifests = manifest.manifests.iter();
    let manifests = manifests.filter(|digest| !listed.contains(digest) && !links.contains(digest));
    blobs.chain(manifests).copied().collect()
}

fn annotations(manifest: &Manifest) -> Option<String> {
    let annotations = (!manifest.annotations.is_empty()).then(|| serde_json::json!(manifest.annotations));
    annotations.map(|annotations| annotations.to_string())
}
