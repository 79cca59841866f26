//! Push, read and delete manifests and tags.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::db::{Deleted, ManifestDescription, Pushed, StoredManifest};
use crate::domain::access::Caller;
use crate::domain::digest::{Algorithm, Digest, Mismatch};
use crate::domain::hash::Hasher;
use crate::domain::manifest::Manifest;
use crate::domain::media_type::MediaType;
use crate::domain::name::RepositoryName;
use crate::domain::reference::{Reference, Tag};
use crate::domain::webhook::Occasion;
use crate::service::registry::blobs::PATIENCE_FOR_EXPOSED;
use crate::service::uploads::settle::{LOOKED_AT_FOR_PUSH, PATIENCE_FOR_PROOF};
use crate::service::{Result, Service, ServiceError};

/// A manifest as it was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedManifest {
    pub digest: Digest,
    /// What it is about: a client that learns that it was understood need not keep a list of referrers itself.
    pub subject: Option<Digest>,
}

impl Service {
    /// Stores a manifest under its digest and points `tags` and, if it is one, `reference` to it: all of it or
    /// nothing.
    pub async fn push_manifest(
        self: &Arc<Self>,
        caller: &Caller,
        repository: &RepositoryName,
        reference: Reference,
        mut tags: BTreeSet<Tag>,
        content_type: Option<MediaType>,
        payload: Bytes,
    ) -> Result<PushedManifest> {
        let expected = match reference {
            Reference::Digest(digest) => Some(digest),
            Reference::Tag(tag) => {
                tags.insert(tag);
                None
            }
        };
        let algorithm = expected.map_or(Algorithm::default(), |digest| digest.algorithm());
        // Megabytes of JSON take tens of milliseconds.
        let reading = tokio::task::spawn_blocking(move || {
            let digest = Hasher::digest(algorithm, &payload);
            (digest, Manifest::read(&payload, content_type), payload)
        });
        let (digest, manifest, payload) = reading.await?;
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(ServiceError::ManifestMismatch(Box::new(Mismatch { expected, found: digest })));
        }
        let manifest = manifest?;
        let (subject, occasion) = (manifest.subject, Occasion::new(caller, self.clock.now()));
        let manifest = Arc::new(manifest);
        let push = || {
            let (manifest, payload) = (Arc::clone(&manifest), payload.clone());
            self.db.push_manifest(repository, &digest, manifest, payload, &tags, &occasion)
        };
        let deadline = Instant::now() + PATIENCE_FOR_PROOF;
        let (mut pushed, mut failure) = (push().await?, None);
        if let Pushed::Missing(missing) = &pushed {
            let settled = self.settle(repository, missing, LOOKED_AT_FOR_PUSH, deadline).await?;
            if settled.is_underway {
                return Err(ServiceError::Busy("blobs of this manifest are still being proven".to_owned()));
            }
            failure = settled.failure;
            let deadline = deadline.min(Instant::now() + PATIENCE_FOR_EXPOSED);
            if self.come_to_place(repository, missing, deadline).await? {
                pushed = push().await?;
            }
        }
        match pushed {
            Pushed::Missing(missing) => Err(ServiceError::ReferencesUnknown { missing, failure }),
            Pushed::Done => {
                tracing::info!(%repository, %digest, tags = tags.len(), "manifest pushed");
                Ok(PushedManifest { digest, subject })
            }
        }
    }

    /// Waits for blobs that were uploaded and are on their way to their place; false when one of them is not.
    async fn come_to_place(
        self: &Arc<Self>,
        repository: &RepositoryName,
        missing: &[Digest],
        deadline: Instant,
    ) -> Result<bool> {
        let waiting = async {
            for digest in missing {
                match self.link(repository, digest).await {
                    Ok(_) => {}
                    Err(ServiceError::BlobUnknown) => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            Ok(true)
        };
        tokio::time::timeout_at(deadline, waiting).await.unwrap_or_else(|_| {
            Err(ServiceError::Busy("blobs of this manifest are still being put in their place".to_owned()))
        })
    }

    pub async fn manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest> {
        self.db.find_manifest(repository, reference).await?.ok_or(ServiceError::ManifestUnknown)
    }

    /// A manifest without its bytes.
    pub async fn manifest_description(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<ManifestDescription> {
        self.db.describe_manifest(repository, reference).await?.ok_or(ServiceError::ManifestUnknown)
    }

    /// By a tag, the tag alone; by a digest, the manifest with all its tags, unless an index lists it. Its blobs stay for
    /// a grace.
    pub async fn delete_manifest(
        &self,
        caller: &Caller,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<()> {
        let occasion = Occasion::new(caller, self.clock.now());
        let deleted = match reference {
            Reference::Tag(tag) if self.db.delete_tag(repository, tag, &occasion).await? => Deleted::Done,
            Reference::Tag(_) => Deleted::Unknown,
            Reference::Digest(digest) => self.db.delete_manifest(repository, digest, &occasion).await?,
        };
        match deleted {
            Deleted::Done => {}
            Deleted::Unknown => return Err(ServiceError::ManifestUnknown),
            Deleted::Listed(index) => return Err(ServiceError::ManifestListed(index)),
        }
        tracing::info!(%repository, %reference, "manifest deleted");
        Ok(())
    }
}
