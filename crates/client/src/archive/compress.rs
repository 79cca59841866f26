//! Compresses layers that are plain tars, and makes the manifests that name them then.
//!
//! ```text
//! layers that no client packed ──> layer: each packed into a temporary file, several at once
//!                             └──> rewrite: manifests that name what came of it, up to the root
//! ```
//! What is packed lies in temporary files of this user's alone until it is sent. It is not packed once to hash it and once
//! more to send it: it takes longer to pack than to send, and every part that is sent again would need its beginning.
//! The files go when the last handle to them does, whatever ended the work.

mod layer;
mod rewrite;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use overside_protocol::digest::Digest;

use super::{Archive, ArchiveError, Blob};
use crate::Result;
use crate::progress::{Progress, Stage};
use crate::registry::manifest::{Manifest, is_manifest};
use layer::pack;

pub use layer::CompressedLayer;

/// The compression of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerCompression {
    /// Every client unpacks it.
    Gzip,
    /// Smaller and faster; Docker unpacks it since 23.0, containerd since 1.5.
    Zstd,
}

/// An archive with other layers and manifests beside its own.
#[derive(Debug)]
pub struct CompressedArchive {
    pub archive: Arc<Archive>,
    /// By their own digests.
    layers: HashMap<Digest, CompressedLayer>,
    manifests: HashMap<Digest, Manifest>,
    /// The new digests of manifests, by those that they had.
    renamed: HashMap<Digest, Digest>,
}

impl Archive {
    /// Packs the layers of images below `roots`, but for those that are packed with gzip or zstd already, and makes the
    /// manifests that name them. `jobs` layers at a time.
    ///
    /// # Errors
    /// [`crate::Error::Archive`]: with [`ArchiveError::NoRoomToPack`] if the folder for temporary files is full, with
    /// [`ArchiveError::Changed`] if somebody has written to the archive since it was checked, with
    /// [`ArchiveError::LayerDamaged`] if a layer cannot be unpacked.
    pub async fn compress(
        self: &Arc<Self>,
        roots: &[Digest],
        packing: LayerCompression,
        jobs: usize,
        progress: &Progress,
    ) -> Result<CompressedArchive> {
        let mut plain: Vec<_> = self.plain_layers(roots).into_iter().collect();
        // In order, and opened one after the other: a packed archive is read once.
        plain.sort_by_key(|(digest, _)| self.order(digest));
        if !plain.is_empty() {
            progress.started(Stage::Compressing, plain.iter().map(|(_, blob)| blob.member.size).sum(), 0);
        }
        let opened = stream::iter(plain).then(|(digest, blob)| async move {
            let opened = self.open_blob(&digest).await?;
            Ok::<_, ArchiveError>((digest, blob, opened))
        });
        let packed = opened.map(|opened| async move {
            let (digest, blob, opened) = opened?;
            let layer = pack(opened, blob, packing, progress).await?;
            Ok::<_, ArchiveError>((digest, layer))
        });
        let packed: HashMap<_, _> = packed.buffer_unordered(jobs.max(1)).try_collect().await?;
        let mut rewriting = rewrite::Rewriting::new(self, packing, &packed);
        for root in roots {
            rewriting.rewrite(root)?;
        }
        let (manifests, renamed) = rewriting.finish();
        let layers = packed.into_values().map(|layer| (layer.digest, layer)).collect();
        Ok(CompressedArchive { archive: Arc::clone(self), layers, manifests, renamed })
    }

    /// Layers of images below `roots` that are to be packed.
    fn plain_layers(&self, roots: &[Digest]) -> HashMap<Digest, &Blob> {
        let mut plain = HashMap::new();
        let mut left: Vec<_> = roots.to_vec();
        while let Some(digest) = left.pop() {
            let Some(manifest) = self.manifest(&digest) else { continue };
            let below = manifest.manifests.iter().filter(|child| is_manifest(&child.media_type));
            left.extend(below.map(|child| child.digest));
            for layer in rewrite::image_layers(manifest) {
                let blob = self.blobs.get(&layer.digest);
                plain.extend(blob.filter(|blob| blob.is_unpacked_layer()).map(|blob| (layer.digest, blob)));
            }
        }
        plain
    }
}

impl CompressedArchive {
    /// Any manifest at or below a root, the archive's own among them.
    #[must_use]
    pub fn manifest(&self, digest: &Digest) -> Option<&Manifest> {
        self.manifests.get(digest).or_else(|| self.archive.manifest(digest))
    }

    /// A layer that was packed here.
    #[must_use]
    pub fn layer(&self, digest: &Digest) -> Option<&CompressedLayer> {
        self.layers.get(digest)
    }

    /// The digest of the manifest that replaces this one, or the same one if nothing does.
    #[must_use]
    pub fn renamed(&self, digest: &Digest) -> Digest {
        self.renamed.get(digest).copied().unwrap_or(*digest)
    }
}
