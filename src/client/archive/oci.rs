//! The OCI image layout (image-spec 1.1, image-layout.md): everything below `index.json`, found and checked.

use bytes::Bytes;

use super::contents::{Contents, Member};
use super::examine::Watch;
use super::json::{self, LAYOUT_VERSION, LayoutFile};
use super::limits::{MAX_CONFIG_SIZE, MAX_INDEX_DEPTH, MAX_LAYOUT_FILE_SIZE, MAX_MANIFEST_BYTES};
use super::prove::{Found, Layer, check_diff_id_count};
use super::{ArchiveError, Image, name};
use crate::client::manifest::{Manifest, is_foreign, is_manifest};
use crate::domain::hash::Hasher;
use crate::domain::manifest::MAX_MANIFEST_SIZE;
use crate::http::wire::{Descriptor, Platform};

pub(super) const INDEX: &str = "index.json";
pub(super) const LAYOUT: &str = "oci-layout";
/// What an image is called in `index.json` (image-spec 1.1, annotations.md).
pub(super) const REFERENCE_NAME: &str = "org.opencontainers.image.ref.name";
/// The same with its repository, as containerd and Docker write and read it.
pub(super) const IMAGE_NAME: &str = "io.containerd.image.name";

/// Finds every manifest, config and layer, and reads what is not a layer.
pub(super) fn find(contents: &Contents, watch: &Watch) -> Result<Found, ArchiveError> {
    check_version(contents, watch)?;
    let index = contents.find(INDEX)?.ok_or_else(|| ArchiveError::NoIndex(contents.path.clone()))?;
    let payload = contents.read(&index, MAX_MANIFEST_SIZE as u64, watch)?;
    let index = Manifest::read(payload, None, None)
        .map_err(|source| ArchiveError::Manifest { name: INDEX.to_owned(), source })?;
    if index.manifests.is_empty() {
        return Err(ArchiveError::NoImages);
    }
    let mut walk = Walk { contents, watch, found: Found::default(), bytes: 0 };
    for root in index.manifests {
        walk.everything_below(&root)?;
        walk.found.name(root);
    }
    Ok(walk.found)
}

fn check_version(contents: &Contents, watch: &Watch) -> Result<(), ArchiveError> {
    let file = contents.find(LAYOUT)?.ok_or(ArchiveError::NoLayoutFile)?;
    let bytes = contents.read(&file, MAX_LAYOUT_FILE_SIZE, watch)?;
    check_layout_file(&bytes)
}

pub(super) fn check_layout_file(bytes: &[u8]) -> Result<(), ArchiveError> {
    let LayoutFile { image_layout_version: version } = json::object(LAYOUT, bytes)?;
    // Echoed, so bounded.
    let is_known = version == LAYOUT_VERSION;
    if is_known { Ok(()) } else { Err(ArchiveError::LayoutVersion(version.chars().take(32).collect())) }
}

struct Walk<'a> {
    contents: &'a Contents,
    watch: &'a Watch,
    found: Found,
    /// Of the manifests so far.
    bytes: usize,
}

impl Walk<'_> {
    fn everything_below(&mut self, root: &Descriptor) -> Result<(), ArchiveError> {
        let mut left = vec![(root.clone(), 0)];
        while let Some((descriptor, depth)) = left.pop() {
            if self.found.manifests.contains_key(&descriptor.digest) {
                continue;
            }
            if depth > MAX_INDEX_DEPTH {
                return Err(ArchiveError::TooDeep(descriptor.digest));
            }
            let manifest = self.manifest(&descriptor)?;
            for blob in manifest.blobs() {
                self.blob(blob)?;
            }
            self.diff_ids(&manifest)?;
            for child in &manifest.manifests {
                if is_manifest(&child.media_type) {
                    left.push((child.clone(), depth + 1));
                } else {
                    // A build's cache.
                    self.blob(child)?;
                }
            }
            self.found.manifests.insert(descriptor.digest, manifest);
        }
        Ok(())
    }

    fn manifest(&mut self, descriptor: &Descriptor) -> Result<Manifest, ArchiveError> {
        let digest = descriptor.digest;
        let missing = || {
            let platform = descriptor.platform.as_ref().map(written);
            self.contents.or_truncated(ArchiveError::MissingManifest { digest, platform })
        };
        let file = self.contents.find(&name::of_blob(&digest))?.ok_or_else(missing)?;
        let payload = self.bytes(&file, descriptor, MAX_MANIFEST_SIZE as u64)?;
        self.bytes += payload.len();
        if self.bytes > MAX_MANIFEST_BYTES {
            return Err(ArchiveError::TooManyManifests);
        }
        Manifest::read(payload, Some(descriptor.media_type.clone()), Some(&digest))
            .map_err(|source| ArchiveError::Manifest { name: file.name, source })
    }

    /// Small content that is needed now, proven.
    fn bytes(&self, file: &Member, descriptor: &Descriptor, limit: u64) -> Result<Bytes, ArchiveError> {
        check_size(file, descriptor)?;
        let bytes = self.contents.read(file, limit, self.watch)?;
        let found = Hasher::digest(descriptor.digest.algorithm(), &bytes);
        if found != descriptor.digest {
            return Err(ArchiveError::wrong_digest(&file.name, descriptor.digest, found));
        }
        Ok(bytes)
    }

    fn blob(&mut self, descriptor: &Descriptor) -> Result<(), ArchiveError> {
        if let Some(file) = self.found.blobs.get(&descriptor.digest) {
            return check_size(file, descriptor);
        }
        let name = name::of_blob(&descriptor.digest);
        let missing = || self.contents.or_truncated(ArchiveError::missing("the blob", name.clone()));
        let file = self.contents.find(&name)?.ok_or_else(missing)?;
        check_size(&file, descriptor)?;
        self.found.blobs.insert(descriptor.digest, file);
        Ok(())
    }

    /// What the layers have to be when unpacked, if this is an image.
    fn diff_ids(&mut self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let config = manifest.config.as_ref().filter(|config| json::is_image_config(&config.media_type));
        let Some(config) = config else { return Ok(()) };
        let Some(file) = self.found.blobs.get(&config.digest) else { return Ok(()) };
        let bytes = self.bytes(file, config, MAX_CONFIG_SIZE)?;
        // An artifact that has borrowed the type has a config that says nothing of layers, or nothing at all.
        if bytes.is_empty() {
            return Ok(());
        }
        let Some(diff_ids) = json::diff_ids(&file.name, &bytes)? else { return Ok(()) };
        check_diff_id_count(&file.name, manifest.layers.len(), diff_ids.len())?;
        for (layer, diff_id) in manifest.layers.iter().zip(diff_ids) {
            if !is_foreign(&layer.media_type) && !json::is_encrypted(&layer.media_type) {
                let may_be_packed = json::is_image_layer(&layer.media_type);
                self.found.layers.push(Layer { digest: layer.digest, diff_id, may_be_packed });
            }
        }
        Ok(())
    }
}

fn check_size(file: &Member, descriptor: &Descriptor) -> Result<(), ArchiveError> {
    if file.size == descriptor.size {
        return Ok(());
    }
    let (name, expected, found) = (file.name.clone(), descriptor.size, file.size);
    Err(ArchiveError::WrongSize { name, expected, found })
}

/// `linux/arm64/v8`
fn written(platform: &Platform) -> String {
    let Platform { architecture, os, variant } = platform;
    match variant {
        Some(variant) => format!("{os}/{architecture}/{variant}"),
        None => format!("{os}/{architecture}"),
    }
}

impl Found {
    /// An entry of `index.json`; several names may be on one image.
    fn name(&mut self, root: Descriptor) {
        let name = root.annotation(REFERENCE_NAME).or_else(|| root.annotation(IMAGE_NAME)).map(str::to_owned);
        match self.images.iter_mut().find(|image| image.root.digest == root.digest) {
            Some(image) => image.names.extend(name),
            None => self.images.push(Image { names: name.into_iter().collect(), root }),
        }
    }
}
