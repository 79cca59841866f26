//! The origin of an artifact that is pushed: a registry, an archive, or files.

use std::sync::Arc;

use overside_protocol::digest::Digest;
use overside_protocol::name::RepositoryName;
use overside_protocol::reference::Reference;
use overside_protocol::wire::Descriptor;

use super::builder::BuiltArtifact;
use crate::archive::{Archive, CompressedArchive, OpenedBlob};
use crate::files::midstates::Midstates;
use crate::registry::manifest::Manifest;
use crate::upload::blob::Blob;
use crate::upload::content::{Content, RemoteBlob};
use crate::{Error, Registry, Repository, Result};

/// The place that manifests and blobs are read from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Origin {
    Registry(Repository),
    Archive(Arc<Archive>),
    /// An archive with layers that were compressed for the push.
    Compressed(Arc<CompressedArchive>),
    /// Built from files, such as those of a folder.
    Built(Arc<BuiltArtifact>),
}

/// A blob that can be sent, with the temporary file behind it if there is one.
pub(super) struct ReadableBlob {
    pub blob: Blob,
    _backing: Option<OpenedBlob>,
}

impl ReadableBlob {
    async fn of(archive: &Archive, digest: Digest) -> Result<Self> {
        let opened = archive.open_blob(&digest).await?;
        let content = Content::File(opened.source.clone());
        let blob = Blob { content, digest, midstates: opened.midstates.clone() };
        Ok(Self { blob, _backing: Some(opened) })
    }
}

impl Origin {
    pub(super) async fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest> {
        let digest = descriptor.digest;
        let found = match self {
            Self::Registry(repository) => repository.manifest(&Reference::Digest(digest)).await?,
            Self::Archive(archive) => archive.manifest(&digest).cloned(),
            Self::Compressed(compressed) => compressed.manifest(&digest).cloned(),
            Self::Built(built) => {
                Some(built.manifest.clone()).filter(|root| root.descriptor.digest == digest)
            }
        };
        found.ok_or(Error::ManifestUnknown(Reference::Digest(digest)))
    }

    pub(super) async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        match self {
            Self::Registry(repository) => repository.referrers(subject, None).await,
            Self::Archive(_) | Self::Compressed(_) | Self::Built(_) => Ok(Vec::new()),
        }
    }

    pub(super) async fn open(&self, descriptor: &Descriptor) -> Result<ReadableBlob> {
        let digest = descriptor.digest;
        let blob = match self {
            Self::Registry(repository) => Blob {
                content: Content::Remote(Box::new(RemoteBlob {
                    repository: repository.clone(),
                    digest,
                    size: descriptor.size,
                })),
                digest,
                midstates: Midstates::default(),
            },
            Self::Archive(archive) => return ReadableBlob::of(archive, digest).await,
            Self::Compressed(compressed) => match compressed.layer(&digest) {
                Some(layer) => {
                    let content = Content::File(layer.source.clone());
                    Blob { content, digest, midstates: layer.midstates.clone() }
                }
                None => return ReadableBlob::of(&compressed.archive, digest).await,
            },
            Self::Built(built) => built.blobs.get(&digest).cloned().ok_or(Error::BlobUnknown(digest))?,
        };
        Ok(ReadableBlob { blob, _backing: None })
    }

    /// The position of each blob in the origin, where they have to be read one after the other.
    pub(super) fn reading_order(&self) -> Option<impl Fn(&Digest) -> u64> {
        let archive = match self {
            Self::Archive(archive) => archive,
            Self::Compressed(compressed) => &compressed.archive,
            Self::Registry(_) | Self::Built(_) => return None,
        };
        archive.is_packed().then_some(|digest: &Digest| archive.order(digest))
    }

    /// The repository from which the target registry can mount blobs, because it is one of its own.
    #[must_use]
    pub fn mountable_by(&self, target: &Registry) -> Option<&RepositoryName> {
        match self {
            Self::Registry(repository) if repository.registry.is_same_registry(target) => {
                Some(&repository.name)
            }
            _ => None,
        }
    }
}
