//! Verifies an archive: every byte is hashed once, and compared with the digests and diff ids that it names.

use std::collections::HashMap;

use overside_protocol::digest::{Digest, Mismatch};

use super::contents::{Contents, Member};
use super::examine::{Examined, Watch};
use super::{ArchiveError, Image};
use crate::progress::Stage;
use crate::registry::manifest::Manifest;

/// The images that an archive says it has, with a file for each blob.
#[derive(Debug, Default)]
pub(super) struct ArchiveIndex {
    pub(super) images: Vec<Image>,
    pub(super) manifests: HashMap<Digest, Manifest>,
    pub(super) blobs: HashMap<Digest, Member>,
    pub(super) layers: Vec<Layer>,
}

/// What an image's config says of a layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) digest: Digest,
    pub(super) diff_id: Digest,
    /// Whether the diff id is that of what is inside.
    pub(super) may_be_packed: bool,
}

/// Files by their names, hashed.
pub(super) type ExaminedFiles = HashMap<String, Examined>;

/// Hashes files, in their order in the archive.
pub(super) fn hash_all<'a>(
    contents: &Contents,
    members: impl Iterator<Item = &'a Member>,
    watch: &Watch,
) -> Result<ExaminedFiles, ArchiveError> {
    let mut members: Vec<_> = members.collect();
    members.sort_by_key(|member| member.order);
    if !contents.is_packed() {
        watch.progress.started(Stage::Hashing, members.iter().map(|member| member.size).sum(), 0);
    }
    let mut hashed = ExaminedFiles::new();
    for member in members {
        hashed.insert(member.name.clone(), contents.examine(member, watch)?);
    }
    Ok(hashed)
}

impl ArchiveIndex {
    pub(super) fn verify(
        &self,
        hashed: &ExaminedFiles,
        contents: &Contents,
        watch: &Watch,
    ) -> Result<(), ArchiveError> {
        for (digest, file) in &self.blobs {
            let examined = of(hashed, &file.name)?;
            if examined.digest != *digest {
                return Err(ArchiveError::wrong_digest(&file.name, *digest, examined.digest));
            }
        }
        for layer in &self.layers {
            if let Some(member) = self.blobs.get(&layer.digest) {
                let reading = LayerSource { member, contents, watch };
                check_layer(of(hashed, &member.name)?, layer.diff_id, layer.may_be_packed, &reading)?;
            }
        }
        Ok(())
    }
}

pub(super) fn of<'a>(hashed: &'a ExaminedFiles, name: &str) -> Result<&'a Examined, ArchiveError> {
    hashed.get(name).ok_or_else(|| ArchiveError::missing("the file", name))
}

/// The file of a layer, which may have to be read once more.
pub(super) struct LayerSource<'a> {
    pub(super) member: &'a Member,
    pub(super) contents: &'a Contents,
    pub(super) watch: &'a Watch,
}

/// Compares a layer with its diff id. Where the two are of different algorithms the layer is read again.
pub(super) fn check_layer(
    examined: &Examined,
    diff_id: Digest,
    may_be_packed: bool,
    reading: &LayerSource<'_>,
) -> Result<(), ArchiveError> {
    let layer = || reading.member.name.clone();
    let (compression, known) = match &examined.packed {
        Some((compression, Ok(inside))) if may_be_packed => (Some(*compression), *inside),
        Some((_, Err(reason))) if may_be_packed => {
            return Err(ArchiveError::LayerDamaged { layer: layer(), reason: reason.clone() });
        }
        _ => (None, examined.digest),
    };
    let algorithm = diff_id.algorithm();
    let found = if known.algorithm() == algorithm {
        known
    } else {
        reading.contents.hash_inside(reading.member, compression, algorithm, reading.watch)?
    };
    if found == diff_id {
        return Ok(());
    }
    let mismatch = Box::new(Mismatch { expected: diff_id, found });
    Err(ArchiveError::WrongDiffId { layer: layer(), mismatch })
}

pub(super) fn check_diff_id_count(config: &str, layers: usize, diff_ids: usize) -> Result<(), ArchiveError> {
    if layers == diff_ids {
        return Ok(());
    }
    Err(ArchiveError::DiffIdCount { config: config.to_owned(), layers, diff_ids })
}
