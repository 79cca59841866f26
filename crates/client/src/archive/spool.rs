//! Unpacks single files out of a tar that is packed as a whole: forward, from where the last one ended.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};

use overside_protocol::digest::Digest;
use overside_protocol::hash::Hasher;
use tempfile::{NamedTempFile, TempPath};
use tokio_util::sync::CancellationToken;

use super::ArchiveError;
use super::compression::Compression;
use super::examine::Watch;
use super::header::failed;
use super::table::Section;
use super::tar_reader::TarReader;
use crate::files::source::{FileSource, each_block};
use crate::progress::Progress;

/// A packed tar, and the reader that has unpacked it so far.
pub(super) struct Packed {
    source: FileSource,
    compression: Compression,
    tar: Mutex<Option<TarReader>>,
}

impl Packed {
    pub(super) const fn new(source: FileSource, compression: Compression) -> Self {
        Self { source, compression, tar: Mutex::new(None) }
    }

    /// Hands the bytes of a section to `read`. Only what lies before the last one costs a new start.
    pub(super) fn read<T>(
        &self,
        section: Section,
        watch: &Watch,
        read: impl FnOnce(&mut (dyn Read + Send)) -> io::Result<T>,
    ) -> Result<T, ArchiveError> {
        let path = self.source.path();
        let mut left = self.tar.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out: after a failure nobody knows where it stands.
        let at_or_before = left.take().filter(|tar| tar.position() <= section.offset);
        let mut tar = if let Some(tar) = at_or_before {
            tar
        } else {
            // It outlives this call, and so cannot have its watch.
            let unwatched = Watch { progress: Progress::default(), stop: CancellationToken::new() };
            let opened = TarReader::open(path, Some(self.compression), &unwatched);
            opened.map_err(ArchiveError::file("open", path))?
        };
        let (watch, ahead) = (watch.quiet(), section.offset - tar.position());
        let value = io::copy(&mut watch.over((&mut tar).take(ahead)), &mut io::sink())
            .and_then(|_| read(&mut watch.over((&mut tar).take(section.size))))
            .map_err(|error| failed(error, path))?;
        *left = Some(tar);
        Ok(value)
    }

    /// Unpacks a file to disk, and proves it once more: the archive may have changed since it was checked.
    pub(super) fn spool(
        &self,
        section: Section,
        digest: Digest,
        watch: &Watch,
    ) -> Result<(FileSource, TempPath), ArchiveError> {
        let folder = std::env::temp_dir();
        let mut target = NamedTempFile::new().map_err(ArchiveError::file("create a file in", &folder))?;
        let mut written = Ok(());
        let mut hasher = Hasher::new(digest.algorithm());
        let read = self.read(section, watch, |reader| {
            each_block(reader, |block| {
                hasher.update(block);
                written = target.write_all(block);
                // Only ends it: that it is no fault of the archive is told below.
                if written.is_ok() { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
            })
        });
        let (file, path) = target.into_parts();
        written.map_err(ArchiveError::file("write", &path))?;
        read?;
        let metadata = file.metadata().map_err(ArchiveError::file("read", &path))?;
        let changed = || ArchiveError::Changed(self.source.path().to_owned());
        if hasher.finish() != digest {
            return Err(changed());
        }
        Ok((FileSource::of(&path, &metadata).ok_or_else(changed)?, path))
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packed").field("source", &self.source).finish_non_exhaustive()
    }
}
