//! A tar whose every byte has its place before the first blob arrives: blobs are written side by side, and what an
//! interrupted run has finished is found again.
//!
//! The block before a blob, its header, tells how far the blob is: nothing while it is empty, a mark while it
//! is being written, and the header itself once it is proven. Only then is the tar one that anybody else can read.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ::tar::{EntryType, Header};
use bytes::Bytes;
use overside_protocol::digest::Digest;
use overside_protocol::wire::Descriptor;

use super::{Bundle, documents};
use crate::archive::docker::IMAGES;
use crate::archive::examine::{Watch, hash};
use crate::archive::header::BLOCK;
use crate::archive::oci::{INDEX, LAYOUT};
use crate::archive::{ArchiveError, name};
use crate::files::partial;
use crate::files::staged::{finish, open_locked};
use crate::progress::Stage;
use crate::{Error, Result};

/// Longest name that a header has room for; longer ones, those of SHA-512 blobs, have an entry of their own.
const NAME_LENGTH: usize = 100;

#[derive(Debug)]
pub(super) struct TarFile {
    /// Locked for as long as this lives.
    file: File,
    pub(super) path: PathBuf,
    target: PathBuf,
    ranges: Vec<Range>,
    done: Mutex<BTreeSet<Digest>>,
}

/// Where a blob goes.
#[derive(Debug, Clone)]
pub(super) struct Range {
    pub(super) blob: Descriptor,
    pub(super) header_at: u64,
    pub(super) header: Vec<u8>,
}

impl Range {
    /// Where its bytes begin.
    pub(super) const fn offset(&self) -> u64 {
        self.header_at + self.header.len() as u64
    }
}

/// What the tar has besides blobs: where, and which bytes.
type Fixed = Vec<(u64, Bytes)>;

impl TarFile {
    pub(super) fn create(target: &Path, bundle: Bundle, watch: &Watch) -> Result<Self> {
        if target.is_dir() {
            return Err(ArchiveError::TargetIsAFolder(target.to_owned()).into());
        }
        let (fixed, ranges, length) = lay_out(bundle).map_err(Error::file("plan", target))?;
        let mut path = target.as_os_str().to_owned();
        path.push(".partial");
        let path = PathBuf::from(path);
        let mut file = open_locked(&path, target)?;
        if !is_begun(&mut file, &fixed, length).map_err(Error::file("read", &path))? {
            begin(&mut file, &fixed, length).map_err(Error::file("write", &path))?;
        }
        let tar = Self { file, path, target: target.to_owned(), ranges, done: Mutex::default() };
        tar.find_done(watch).map_err(Error::file("read", &tar.path))?;
        Ok(tar)
    }

    /// Hashes what has its header.
    fn find_done(&self, watch: &Watch) -> io::Result<()> {
        let mut file = self.reopen()?;
        let mut finished = Vec::new();
        for range in &self.ranges {
            let mut header = vec![0; range.header.len()];
            file.seek(SeekFrom::Start(range.header_at))?;
            file.read_exact(&mut header)?;
            if header == range.header {
                finished.push(range);
            }
        }
        if finished.is_empty() {
            return Ok(());
        }
        watch.progress.started(Stage::Hashing, finished.iter().map(|range| range.blob.size).sum(), 0);
        for range in finished {
            file.seek(SeekFrom::Start(range.offset()))?;
            let Descriptor { digest, size, .. } = range.blob;
            if hash(watch.over((&file).take(size)), digest.algorithm())? == digest {
                self.is_done(digest);
            } else {
                // The machine went down before its bytes were on disk.
                file.seek(SeekFrom::Start(range.header_at))?;
                file.write_all(&vec![0; range.header.len()])?;
            }
        }
        Ok(())
    }

    /// With a position of its own.
    pub(super) fn reopen(&self) -> io::Result<File> {
        partial::reopen(&self.file, &self.path)
    }

    pub(super) fn is_done(&self, digest: Digest) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    }

    pub(super) fn missing(&self) -> Vec<Descriptor> {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = self.ranges.iter().filter(|range| !done.contains(&range.blob.digest));
        missing.map(|range| range.blob.clone()).collect()
    }

    pub(super) fn range(&self, digest: &Digest) -> Option<&Range> {
        self.ranges.iter().find(|range| range.blob.digest == *digest)
    }

    pub(super) fn finish(&self) -> Result<()> {
        if let Some(missing) = self.missing().first() {
            return Err(ArchiveError::Unfinished(missing.digest).into());
        }
        finish(&self.file, &self.path, &self.target)
    }
}

/// Gives everything its place: what small readers look for first comes first. The same bundle always gets the same.
fn lay_out(bundle: Bundle) -> io::Result<(Fixed, Vec<Range>, u64)> {
    let entry = documents::entry(&bundle.root, bundle.name.as_ref());
    let mut files = vec![
        (LAYOUT.to_owned(), documents::layout_file().into()),
        (INDEX.to_owned(), Bytes::from(documents::index(&[entry]))),
    ];
    files.extend(documents::saved_images(&bundle).map(|images| (IMAGES.to_owned(), images.into())));
    let mut taken = BTreeSet::new();
    for manifest in std::iter::once(bundle.root).chain(bundle.below) {
        if taken.insert(manifest.descriptor.digest) {
            files.push((name::of_blob(&manifest.descriptor.digest), manifest.payload));
        }
    }
    let (mut fixed, mut ranges, mut at) = (Fixed::new(), Vec::new(), 0);
    for (name, content) in files {
        let (header, size) = (header(&name, content.len() as u64), content.len() as u64);
        let content_at = at + header.len() as u64;
        fixed.extend([(at, header.into()), (content_at, content)]);
        at = end(content_at, size)?;
    }
    for blob in bundle.blobs {
        if taken.insert(blob.digest) {
            let header = header(&name::of_blob(&blob.digest), blob.size);
            let range = Range { blob, header_at: at, header };
            at = end(range.offset(), range.blob.size)?;
            ranges.push(range);
        }
    }
    let length = end(at, 2 * BLOCK)?;
    Ok((fixed, ranges, length))
}

fn end(offset: u64, size: u64) -> io::Result<u64> {
    let end = offset.checked_add(size).and_then(|end| end.checked_next_multiple_of(BLOCK));
    end.ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

/// The header of a file, after an entry with its name if that is long.
fn header(name: &str, size: u64) -> Vec<u8> {
    let mut blocks = Vec::new();
    let mut short = name;
    if name.len() > NAME_LENGTH {
        let mut content = format!("{name}\0").into_bytes();
        blocks.extend(block("././@LongLink", EntryType::GNULongName, content.len() as u64));
        content.resize(content.len().next_multiple_of(512), 0);
        blocks.extend(content);
        short = &name[..NAME_LENGTH];
    }
    blocks.extend(block(short, EntryType::Regular, size));
    blocks
}

/// GNU's form: sizes from 8 GiB on fit.
fn block(name: &str, kind: EntryType, size: u64) -> [u8; 512] {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    *header.as_bytes()
}

/// Whether an earlier run began this very tar.
fn is_begun(file: &mut File, fixed: &Fixed, length: u64) -> io::Result<bool> {
    if file.metadata()?.len() != length {
        return Ok(false);
    }
    for (at, expected) in fixed {
        let mut found = vec![0; expected.len()];
        file.seek(SeekFrom::Start(*at))?;
        file.read_exact(&mut found)?;
        if found != *expected {
            return Ok(false);
        }
    }
    Ok(true)
}

fn begin(file: &mut File, fixed: &Fixed, length: u64) -> io::Result<()> {
    file.set_len(0)?;
    file.set_len(length)?;
    for (at, bytes) in fixed {
        file.seek(SeekFrom::Start(*at))?;
        file.write_all(bytes)?;
    }
    Ok(())
}
