//! The file that is uploaded, and the promise that it stays the same meanwhile.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::Stream;
use overside_protocol::digest::Digest;
use overside_protocol::hash::Hasher;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use super::midstates::Midstates;
use crate::progress::{Event, Progress, Stage};
use crate::{Error, Result};

/// What one read hands to the connection: with it and the number of jobs the memory of an upload is fixed.
const READ_SIZE: usize = 128 * 1024;
/// Read size while hashing: large enough that system calls do not count beside SHA-256, and a divisor of the
/// midstates' step.
pub(crate) const HASH_READ_SIZE: usize = 1024 * 1024;

/// What hashing a file tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    pub digest: Digest,
    pub midstates: Midstates,
}

/// A regular file, or a stretch of one, as it was when the upload began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSource {
    path: PathBuf,
    offset: u64,
    size: u64,
    file_size: u64,
    modified: Option<SystemTime>,
}

impl FileSource {
    /// Looks at a file. [`Error::NotAFile`] for pipes and folders: their size is not known before the end.
    pub async fn open(path: &Path) -> Result<Self> {
        let metadata = tokio::fs::metadata(path).await.map_err(Error::file("read", path))?;
        Self::of(path, &metadata).ok_or_else(|| Error::NotAFile(path.to_owned()))
    }

    /// The file that was found to be so; none if it is no regular one.
    pub(crate) fn of(path: &Path, metadata: &Metadata) -> Option<Self> {
        let (file_size, modified) = (metadata.len(), metadata.modified().ok());
        let source = Self { path: path.to_owned(), offset: 0, size: file_size, file_size, modified };
        metadata.is_file().then_some(source)
    }

    /// `size` bytes of it from `offset`, such as a layer in an archive; none if the file ends before.
    #[must_use]
    pub fn section(&self, offset: u64, size: u64) -> Option<Self> {
        let is_inside = offset.checked_add(size).is_some_and(|end| end <= self.size);
        is_inside.then(|| Self { offset: self.offset + offset, size, ..self.clone() })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// In bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Hashes the whole file on a thread of its own; dropping the future stops it.
    pub async fn hash(&self, progress: &Progress) -> Result<Hashed> {
        let (source, progress, stop) = (self.clone(), progress.clone(), CancellationToken::new());
        let _stop_when_dropped = stop.clone().drop_guard();
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || source.hash_blocking(&progress, &stop))
            .await
            .map_err(|failure| Error::file("hash", &path)(std::io::Error::other(failure)))?
    }

    fn hash_blocking(&self, progress: &Progress, stop: &CancellationToken) -> Result<Hashed> {
        progress.started(Stage::Hashing, self.size, 0);
        let file = self.read_blocking().map_err(Error::file("open", &self.path))?;
        let mut midstates = Midstates::default();
        let noted = |hasher: &Hasher, length| midstates.note(hasher, length);
        let (hasher, length) = hash_to_end(Hasher::default(), file, progress, stop, noted)
            .map_err(Error::file("read", &self.path))?;
        if length != self.size {
            return Err(Error::FileChanged(self.path.clone()));
        }
        Ok(Hashed { digest: hasher.finish(), midstates })
    }

    /// Its bytes, for threads where blocking is fine.
    pub(crate) fn read_blocking(&self) -> std::io::Result<Take<File>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(file.take(self.size))
    }

    /// [`Error::FileChanged`] when size or modification time are not what they were.
    pub async fn check_unchanged(&self) -> Result<()> {
        match Self::open(&self.path).await {
            Ok(now) if (now.file_size, now.modified) == (self.file_size, self.modified) => Ok(()),
            Ok(_) | Err(Error::NotAFile(_)) => Err(Error::FileChanged(self.path.clone())),
            Err(error) => Err(error),
        }
    }

    /// Streams `size` bytes from `offset`.
    pub(crate) async fn stream(
        &self,
        offset: u64,
        size: u64,
    ) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + use<>> {
        let mut file = tokio::fs::File::open(&self.path).await.map_err(Error::file("open", &self.path))?;
        file.seek(SeekFrom::Start(self.offset + offset)).await.map_err(Error::file("read", &self.path))?;
        Ok(ReaderStream::with_capacity(file.take(size), READ_SIZE))
    }
}

/// Hashes what is left to read, and counts it. Blocking; ends with an error once `stop` is cancelled. `note` is
/// told of every whole block of [`HASH_READ_SIZE`].
pub(crate) fn hash_to_end(
    mut hasher: Hasher,
    mut reader: impl Read,
    progress: &Progress,
    stop: &CancellationToken,
    mut note: impl FnMut(&Hasher, u64),
) -> std::io::Result<(Hasher, u64)> {
    let mut length = 0;
    let mut buffer = vec![0; HASH_READ_SIZE];
    loop {
        if stop.is_cancelled() {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let read = fill(&mut reader, &mut buffer)?;
        hasher.update(&buffer[..read]);
        length += read as u64;
        progress.report(Event::Advanced(read as u64));
        if read < buffer.len() {
            return Ok((hasher, length));
        }
        note(&hasher, length);
    }
}

/// Reads until the buffer is full or the reader at its end.
pub(crate) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
