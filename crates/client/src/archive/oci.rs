//! Reads the OCI image layout (image-spec 1.1, image-layout.md): finds and checks everything below `index.json`.
//!
//! A layout may be sparse: what Docker saves for one platform lists the others too. What lacks nothing is used, and of the
//! rest is told what it lacks.

use std::collections::HashMap;

use bytes::Bytes;
use overside_protocol::digest::Digest;
use overside_protocol::hash::Hasher;
use overside_protocol::manifest::{self, MAX_MANIFEST_SIZE};
use overside_protocol::wire::Descriptor;

use super::contents::{Contents, Member};
use super::examine::Watch;
use super::json::{self, LAYOUT_VERSION, LayoutFile};
use super::verify::{ArchiveIndex, Layer, check_diff_id_count};
use super::{ArchiveError, Image, MissingContent, name};
use crate::error::limits::{MAX_CONFIG_SIZE, MAX_INDEX_DEPTH, MAX_LAYOUT_FILE_SIZE, MAX_MANIFEST_BYTES};
use crate::registry::manifest::{Manifest, is_foreign, is_manifest};

pub(super) const INDEX: &str = "index.json";
pub(super) const LAYOUT: &str = "oci-layout";
/// What an image is called in `index.json` (image-spec 1.1, annotations.md).
pub(super) const REFERENCE_NAME: &str = "org.opencontainers.image.ref.name";
/// The same with its repository, as containerd and Docker write and read it.
pub(super) const IMAGE_NAME: &str = "io.containerd.image.name";
/// Which image an attestation is about (moby/buildkit, docs/attestations/attestation-storage.md).
const ABOUT: &str = "vnd.docker.reference.digest";

/// Finds every manifest, config and layer, and reads what is not a layer.
pub(super) fn find(contents: &Contents, watch: &Watch) -> Result<ArchiveIndex, ArchiveError> {
    check_version(contents, watch)?;
    let index = contents.find(INDEX)?.ok_or_else(|| ArchiveError::NoIndex(contents.path.clone()))?;
    let payload = contents.read(&index, MAX_MANIFEST_SIZE as u64, watch)?;
    // It is an index by its place, also where it lists `null`.
    let by_place = || Manifest::read(payload.clone(), manifest::INDEX.parse().ok(), None).ok();
    let index = Manifest::read(payload.clone(), None, None)
        .or_else(|error| by_place().ok_or(error))
        .map_err(|source| ArchiveError::Manifest { name: INDEX.to_owned(), source })?;
    if index.manifests.is_empty() {
        return Err(contents.or_truncated(ArchiveError::EmptyIndex));
    }
    let mut walk = Walk {
        contents,
        watch,
        found: ArchiveIndex::default(),
        bytes: 0,
        visited: HashMap::new(),
        lists: HashMap::new(),
    };
    for root in index.manifests {
        walk.visit(&root, 0)?;
        walk.name(root);
    }
    if walk.found.images.iter().any(Image::is_usable) {
        return Ok(walk.found);
    }
    // Nothing can be made of it.
    let missing = walk.found.images.into_iter().find_map(|image| image.missing.into_iter().next());
    Err(missing.map_or(ArchiveError::NoImages, ArchiveError::from))
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
    found: ArchiveIndex,
    /// Of the manifests so far.
    bytes: usize,
    /// The first thing that a manifest lacks, at whatever depth.
    visited: HashMap<Digest, Option<MissingContent>>,
    /// What indexes list that lack something.
    lists: HashMap<Digest, Vec<Descriptor>>,
}

impl Walk<'_> {
    /// As deep as [`MAX_INDEX_DEPTH`].
    fn visit(
        &mut self,
        descriptor: &Descriptor,
        depth: usize,
    ) -> Result<Option<MissingContent>, ArchiveError> {
        let digest = descriptor.digest;
        if let Some(visited) = self.visited.get(&digest) {
            return Ok(visited.clone());
        }
        if depth > MAX_INDEX_DEPTH {
            return Err(ArchiveError::TooDeep(digest));
        }
        let missing = if let Some(manifest) = self.manifest(descriptor)? {
            self.below(manifest, depth)?
        } else {
            let platform = descriptor.platform.as_ref().map(ToString::to_string);
            Some(MissingContent { digest, is_manifest: true, platform })
        };
        self.visited.insert(digest, missing.clone());
        Ok(missing)
    }

    fn below(&mut self, manifest: Manifest, depth: usize) -> Result<Option<MissingContent>, ArchiveError> {
        let mut missing = None;
        for blob in manifest.blobs() {
            missing = missing.or(self.blob(blob)?);
        }
        if missing.is_none() {
            self.diff_ids(&manifest)?;
        }
        for child in &manifest.manifests {
            // Else it is a build's cache.
            let below = if is_manifest(&child.media_type) {
                self.visit(child, depth + 1)?
            } else {
                self.blob(child)?
            };
            missing = missing.or(below);
        }
        let digest = manifest.descriptor.digest;
        if missing.is_none() {
            self.found.manifests.insert(digest, manifest);
        } else {
            self.lists.insert(digest, manifest.manifests);
        }
        Ok(missing)
    }

    /// None if it is missing.
    fn manifest(&mut self, descriptor: &Descriptor) -> Result<Option<Manifest>, ArchiveError> {
        let digest = descriptor.digest;
        let Some(file) = self.find(&digest)? else { return Ok(None) };
        let payload = self.bytes(&file, descriptor, MAX_MANIFEST_SIZE as u64)?;
        self.bytes += payload.len();
        if self.bytes > MAX_MANIFEST_BYTES {
            return Err(ArchiveError::TooManyManifests);
        }
        let manifest = Manifest::read(payload, Some(descriptor.media_type.clone()), Some(&digest));
        manifest.map(Some).map_err(|source| ArchiveError::Manifest { name: file.name, source })
    }

    /// What is missing because the end of the archive is, is no sparse layout's.
    fn find(&self, digest: &Digest) -> Result<Option<Member>, ArchiveError> {
        let found = self.contents.find(&name::of_blob(digest))?;
        if found.is_none() && self.contents.lacks_end() {
            return Err(ArchiveError::Truncated(self.contents.path.clone()));
        }
        Ok(found)
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

    /// What is missing, if it is that.
    fn blob(&mut self, descriptor: &Descriptor) -> Result<Option<MissingContent>, ArchiveError> {
        let digest = descriptor.digest;
        if let Some(file) = self.found.blobs.get(&digest) {
            return check_size(file, descriptor).map(|()| None);
        }
        let Some(file) = self.find(&digest)? else {
            return Ok(Some(MissingContent { digest, is_manifest: false, platform: None }));
        };
        check_size(&file, descriptor)?;
        self.found.blobs.insert(digest, file);
        Ok(None)
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

impl Walk<'_> {
    /// An entry of `index.json`; several names may be on one image.
    fn name(&mut self, root: Descriptor) {
        let name = root.annotation(REFERENCE_NAME).or_else(|| root.annotation(IMAGE_NAME)).map(str::to_owned);
        if let Some(image) = self.found.images.iter_mut().find(|image| image.root.digest == root.digest) {
            image.names.extend(name);
            return;
        }
        let lacks = |digest| self.visited.get(digest).cloned().flatten();
        let (mut missing, mut whole) = (Vec::new(), Vec::new());
        if let Some(first) = lacks(&root.digest) {
            for child in self.lists.get(&root.digest).into_iter().flatten() {
                match lacks(&child.digest) {
                    Some(below) => missing.push(below),
                    None if self.found.manifests.contains_key(&child.digest) && !is_attestation(child) => {
                        whole.push(child.clone());
                    }
                    None => {}
                }
            }
            if missing.is_empty() {
                missing.push(first);
            }
        }
        self.found.images.push(Image { names: name.into_iter().collect(), root, missing, whole });
    }
}

/// What `BuildKit` lists beside an image says of it how it was built, and is none itself.
fn is_attestation(listed: &Descriptor) -> bool {
    listed.annotation(ABOUT).is_some()
        || listed.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
}
