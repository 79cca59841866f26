//! A file that is uploaded. It is checked that nobody changes it meanwhile.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::Stream;
use overside_protocol::digest::Digest;
use overside_protocol::hash::Hasher;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::task::spawn_blocking;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use super::midstates::Midstates;
use crate::progress::{Event, Progress, Stage};
use crate::{Error, Result};

/// Bytes that one read hands to the connection: with it and the number of jobs the memory of an upload is fixed.
const READ_SIZE: usize = 128 * 1024;
/// Read size while hashing: large enough that system calls do not count beside SHA-256, and a divisor of the
/// midstates' step.
pub(crate) const HASH_READ_SIZE: usize = 1024 * 1024;

/// Runs blocking work on a thread for such work. It starts now, whether the result is awaited or not.
pub(crate) fn blocking<T: Send + 'static, W: FnOnce() -> Result<T> + Send + 'static>(
    action: &'static str,
    path: &Path,
    work: W,
) -> impl Future<Output = Result<T>> + use<T, W> {
    let (path, working) = (path.to_owned(), spawn_blocking(work));
    async move { working.await.map_err(|died| Error::file(action, &path)(io::Error::other(died)))? }
}

/// What hashing a file gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHash {
    pub digest: Digest,
    pub midstates: Midstates,
}

/// A regular file, or a section of one, as it was when the upload began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSource {
    path: PathBuf,
    offset: u64,
    size: u64,
    file_size: u64,
    modified: Option<SystemTime>,
}

impl FileSource {
    /// Notes size and modification time of a regular file.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::NotAFile`] for pipes and folders: their size is not known before the
    /// end.
    pub async fn open(path: &Path) -> Result<Self> {
        let metadata = tokio::fs::metadata(path).await.map_err(Error::file("read", path))?;
        Self::of(path, &metadata).ok_or_else(|| Error::NotAFile(path.to_owned()))
    }

    /// The file with this metadata; none if it is no regular file.
    pub(crate) fn of(path: &Path, metadata: &Metadata) -> Option<Self> {
        let (file_size, modified) = (metadata.len(), metadata.modified().ok());
        let source = Self { path: path.to_owned(), offset: 0, size: file_size, file_size, modified };
        metadata.is_file().then_some(source)
    }

    /// A section of the file: `size` bytes from `offset`, such as a layer in an archive. None if the file ends before.
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
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::FileChanged`] if it has become shorter.
    pub async fn hash(&self, progress: &Progress) -> Result<FileHash> {
        let (source, progress, stop) = (self.clone(), progress.clone(), CancellationToken::new());
        let _stop_when_dropped = stop.clone().drop_guard();
        blocking("hash", &self.path, move || source.hash_blocking(&progress, &stop)).await
    }

    fn hash_blocking(&self, progress: &Progress, stop: &CancellationToken) -> Result<FileHash> {
        progress.started(Stage::Hashing, self.size, 0);
        let file = self.read_blocking().map_err(Error::file("open", &self.path))?;
        let mut midstates = Midstates::default();
        let noted = |hasher: &Hasher, length| midstates.note(hasher, length);
        let (hasher, length) = hash_to_end(Hasher::default(), file, progress, stop, noted)
            .map_err(Error::file("read", &self.path))?;
        if length != self.size {
            return Err(Error::FileChanged(self.path.clone()));
        }
        Ok(FileHash { digest: hasher.finish(), midstates })
    }

    /// A reader of its bytes. Blocks.
    pub(crate) fn read_blocking(&self) -> io::Result<Take<File>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(file.take(self.size))
    }

    /// Checks that the file is still the one that was opened.
    ///
    /// # Errors
    /// [`Error::FileChanged`] if its size or modification time is another, [`Error::File`] if it cannot be read.
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
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
        let mut file = tokio::fs::File::open(&self.path).await.map_err(Error::file("open", &self.path))?;
        file.seek(SeekFrom::Start(self.offset + offset)).await.map_err(Error::file("read", &self.path))?;
        Ok(ReaderStream::with_capacity(file.take(size), READ_SIZE))
    }
}

/// Hashes all that is left to read, and reports it to `progress`. Blocks; ends with an error once `stop` is cancelled. `note`
/// is called after every whole block of [`HASH_READ_SIZE`].
pub(crate) fn hash_to_end(
    mut hasher: Hasher,
    reader: impl Read,
    progress: &Progress,
    stop: &CancellationToken,
    mut note: impl FnMut(&Hasher, u64),
) -> io::Result<(Hasher, u64)> {
    let mut length = 0;
    each_block(reader, |block| {
        if stop.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        hasher.update(block);
        length += block.len() as u64;
        progress.report(Event::Advanced(block.len() as u64));
        if block.len() == HASH_READ_SIZE {
            note(&hasher, length);
        }
        Ok(())
    })?;
    Ok((hasher, length))
}

/// Passes all that can be read to `take`: in blocks of [`HASH_READ_SIZE`], and a shorter one at the end.
pub(crate) fn each_block(
    mut reader: impl Read,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; HASH_READ_SIZE];
    loop {
        let read = fill(&mut reader, &mut buffer)?;
        take(&buffer[..read])?;
        if read < buffer.len() {
            return Ok(());
        }
    }
}

/// Reads until the buffer is full or the reader at its end.
pub(crate) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
