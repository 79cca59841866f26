//! Where an artifact comes from.

use std::collections::HashMap;
use std::sync::Arc;

use overside_protocol::digest::Digest;
use overside_protocol::name::RepositoryName;
use overside_protocol::reference::Reference;
use overside_protocol::wire::Descriptor;

use crate::archive::{Archive, Compressed, OpenedBlob};
use crate::files::midstates::Midstates;
use crate::registry::manifest::Manifest;
use crate::{Blob, Client, Content, Error, RemoteBlob, Result};

/// Manifests and blobs, wherever they are.
#[derive(Debug, Clone)]
pub enum Origin {
    Registry(Client, RepositoryName),
    Archive(Arc<Archive>),
    /// An archive with layers that were packed for this.
    Compressed(Arc<Compressed>),
    /// Made on the spot, such as of a folder.
    Made(Arc<Made>),
}

/// Manifests made by this program, and the blobs that they name.
#[derive(Debug, Default)]
pub struct Made {
    pub manifests: HashMap<Digest, Manifest>,
    pub blobs: HashMap<Digest, Blob>,
}

/// A blob that can be sent, and what keeps it there until it has been.
pub(super) struct Opened {
    pub blob: Blob,
    _kept: Option<OpenedBlob>,
}

impl Opened {
    async fn of(archive: &Archive, digest: Digest) -> Result<Self> {
        let opened = archive.open_blob(&digest).await?;
        let content = Content::File(opened.source.clone());
        let blob = Blob { content, digest, midstates: opened.midstates.clone() };
        Ok(Self { blob, _kept: Some(opened) })
    }
}

impl Origin {
    pub(super) async fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest> {
        let digest = descriptor.digest;
        let found = match self {
            Self::Registry(client, repository) => {
                client.manifest(repository, &Reference::Digest(digest)).await?
            }
            Self::Archive(archive) => archive.manifest(&digest).cloned(),
            Self::Compressed(compressed) => compressed.manifest(&digest).cloned(),
            Self::Made(made) => made.manifests.get(&digest).cloned(),
        };
        found.ok_or(Error::ManifestUnknown(Reference::Digest(digest)))
    }

    pub(super) async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        match self {
            Self::Registry(client, repository) => client.referrers(repository, subject, None).await,
            Self::Archive(_) | Self::Compressed(_) | Self::Made(_) => Ok(Vec::new()),
        }
    }

    pub(super) async fn open(&self, descriptor: &Descriptor) -> Result<Opened> {
        let digest = descriptor.digest;
        let blob = match self {
            Self::Registry(client, repository) => Blob {
                content: Content::Remote(Box::new(RemoteBlob {
                    client: client.clone(),
                    repository: repository.clone(),
                    digest,
                    size: descriptor.size,
                })),
                digest,
                midstates: Midstates::default(),
            },
            Self::Archive(archive) => return Opened::of(archive, digest).await,
            Self::Compressed(compressed) => match compressed.layer(&digest) {
                Some(layer) => {
                    let content = Content::File(layer.source.clone());
                    Blob { content, digest, midstates: layer.midstates.clone() }
                }
                None => return Opened::of(&compressed.archive, digest).await,
            },
            Self::Made(made) => made.blobs.get(&digest).cloned().ok_or(Error::BlobUnknown(digest))?,
        };
        Ok(Opened { blob, _kept: None })
    }

    /// The order in which blobs are best read, where they have to be read one after the other.
    pub(super) fn reading_order(&self) -> Option<impl Fn(&Digest) -> u64> {
        let archive = match self {
            Self::Archive(archive) => archive,
            Self::Compressed(compressed) => &compressed.archive,
            Self::Registry(..) | Self::Made(_) => return None,
        };
        archive.is_packed().then_some(|digest: &Digest| archive.order(digest))
    }

    /// The repository that a registry can take blobs from by itself.
    #[must_use]
    pub fn mountable_by(&self, target: &Client) -> Option<&RepositoryName> {
        match self {
            Self::Registry(client, repository) if client.is_same_registry(target) => Some(repository),
            _ => None,
        }
    }
}
