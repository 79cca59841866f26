//! Writes one blob to its place in a tar that is being written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use bytes::Bytes;
use overside_protocol::digest::Digest;
use overside_protocol::hash::Hasher;
use tokio::sync::mpsc::Receiver;

use super::tar::{Range, TarFile};
use crate::archive::examine::Watch;
use crate::archive::{ArchiveError, name};
use crate::files::source::hash_to_end;
use crate::progress::Stage;
use crate::{Error, Result};

/// A mark for each of so many bytes: no more than them is lost to a crash, and a block is little beside them.
const MARK_STEP: u64 = 16 * 1024 * 1024;
/// Where the header will be; no tar's first block begins so.
const MARK: &str = "overside: bytes so far ";

/// A blob's range, with the hash of all that is in it.
#[derive(Debug)]
pub(super) struct RangeSlot {
    tar: Arc<TarFile>,
    /// At the end of what is written.
    file: File,
    range: Range,
    hasher: Hasher,
    length: u64,
    marked: u64,
}

impl RangeSlot {
    /// Hashes what an earlier run has marked as written.
    pub(super) fn open(tar: Arc<TarFile>, digest: &Digest, watch: &Watch) -> Result<Self> {
        let range = tar.range(digest).ok_or(ArchiveError::BlobUnknown(*digest))?.clone();
        let open = || -> io::Result<(File, Hasher, u64)> {
            let mut file = tar.reopen()?;
            let marked = read_mark(&mut file, &range)?;
            file.seek(SeekFrom::Start(range.offset()))?;
            let hasher = Hasher::new(digest.algorithm());
            if marked == 0 {
                return Ok((file, hasher, 0));
            }
            watch.progress.started(Stage::Hashing, marked, 0);
            let written = (&file).take(marked);
            let (hasher, length) = hash_to_end(hasher, written, &watch.progress, &watch.stop, |_, _| {})?;
            Ok((file, hasher, length))
        };
        let (file, hasher, length) = open().map_err(Error::file("read", &tar.path))?;
        Ok(Self { tar, file, range, hasher, length, marked: length })
    }

    /// Bytes written so far.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn write(mut self, mut chunks: Receiver<Bytes>) -> Result<Self> {
        while let Some(chunk) = chunks.blocking_recv() {
            let (length, expected) = (self.length + chunk.len() as u64, self.range.blob.size);
            if length > expected {
                // It would go over the next blob.
                let name = name::of_blob(&self.range.blob.digest);
                return Err(ArchiveError::WrongSize { name, expected, found: length }.into());
            }
            self.file.write_all(&chunk).map_err(Error::file("write", &self.tar.path))?;
            self.hasher.update(&chunk);
            self.length = length;
            if self.length - self.marked >= MARK_STEP {
                self.mark()?;
            }
        }
        self.mark()?;
        Ok(self)
    }

    /// Notes how far it is, and stands at the end again.
    fn mark(&mut self) -> Result<()> {
        let mut block = vec![0; self.range.header.len()];
        let text = format!("{MARK}{}\n", self.length);
        block[..text.len()].copy_from_slice(text.as_bytes());
        self.write_header(&block)?;
        let end = SeekFrom::Start(self.range.offset() + self.length);
        self.file.seek(end).map_err(Error::file("write", &self.tar.path))?;
        self.marked = self.length;
        Ok(())
    }

    fn write_header(&mut self, blocks: &[u8]) -> Result<()> {
        let at = SeekFrom::Start(self.range.header_at);
        let written = self.file.seek(at).and_then(|_| self.file.write_all(blocks));
        written.map_err(Error::file("write", &self.tar.path))
    }

    /// Gives the blob its header, if the bytes are what they should be; forgets them if they are not.
    pub(super) fn publish(mut self) -> Result<()> {
        let (expected, found) = (self.range.blob.digest, self.hasher.clone().finish());
        if found != expected || self.length != self.range.blob.size {
            self.write_header(&vec![0; self.range.header.len()])?;
            return Err(Error::mismatch(expected, found));
        }
        let header = std::mem::take(&mut self.range.header);
        self.write_header(&header)?;
        self.tar.is_done(expected);
        Ok(())
    }
}

/// How many bytes are written; 0 where there is no mark, or half of one.
fn read_mark(file: &mut File, range: &Range) -> io::Result<u64> {
    let mut block = vec![0; range.header.len()];
    file.seek(SeekFrom::Start(range.header_at))?;
    file.read_exact(&mut block)?;
    let length = std::str::from_utf8(&block).ok().and_then(|text| text.strip_prefix(MARK)?.split_once('\n'));
    let length = length.and_then(|(length, _)| length.parse().ok()).unwrap_or_default();
    Ok(if length <= range.blob.size { length } else { 0 })
}
