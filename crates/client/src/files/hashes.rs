//! A cache of files' digests, so that the next run does not read them again: one small file each. A file that was written
//! to since has another size, time of change or inode, and is read.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use overside_protocol::digest::Digest;
use serde::{Deserialize, Serialize};

use super::source::{FileHash, blocking};
use super::state_file::{path_of, remove_old, write_private};
use crate::{Error, FileSource, Midstates, Progress, Result};

/// Smaller files are read as fast as what is remembered of them.
const MIN_SIZE: u64 = 8 * 1024 * 1024;
/// A file that was changed shortly before it was looked at may change once more within the same tick of its clock.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// A cache of files' digests, in a folder with a small file for each.
#[derive(Debug, Clone)]
pub struct HashCache {
    folder: PathBuf,
    reads_all: bool,
}

/// What tells one version of a file from another. Programs cannot set the time of change, only the system does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileVersion {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(rename = "stamp")]
    version: FileVersion,
    digest: Digest,
    midstates: Midstates,
}

impl HashCache {
    /// A cache in this folder, which is created when something is written to it. Entries that are a month old are removed.
    /// With `reads_all` every file is read, and its digest cached anew.
    #[must_use]
    pub fn at(folder: PathBuf, reads_all: bool) -> Self {
        remove_old(&folder);
        Self { folder, reads_all }
    }

    /// A file's digest: cached, or computed by reading the file.
    pub(crate) async fn hash(&self, source: &FileSource, progress: &Progress) -> Result<FileHash> {
        let path = source.path();
        let look = || async {
            let metadata = tokio::fs::metadata(path).await.map_err(Error::file("read", path))?;
            Ok::<_, Error>(FileVersion::of(path, &metadata))
        };
        let before = look().await?.filter(|_| source.size() >= MIN_SIZE);
        let Some(before) = before else { return source.hash(progress).await };
        let file = path_of(&self.folder, &before.path.to_string_lossy());
        if let Some(entry) = read(&file).await.filter(|entry| !self.reads_all && entry.version == before) {
            return Ok(FileHash { digest: entry.digest, midstates: entry.midstates });
        }
        let hashed = source.hash(progress).await?;
        if before.is_settled() && look().await?.as_ref() == Some(&before) {
            let entry = Entry { version: before, digest: hashed.digest, midstates: hashed.midstates.clone() };
            write(file, entry).await;
        }
        Ok(hashed)
    }
}

async fn read(file: &Path) -> Option<Entry> {
    serde_json::from_slice(&tokio::fs::read(file).await.ok()?).ok()
}

/// Writes an entry. One that cannot be written costs the next run a read, and is no error.
async fn write(file: PathBuf, entry: Entry) {
    let writing = blocking("write", &file.clone(), move || {
        let text = serde_json::to_vec(&entry).map_err(std::io::Error::other);
        text.and_then(|text| write_private(&file, &text)).map_err(Error::file("write", &file))
    });
    if let Err(error) = writing.await {
        tracing::debug!(%error, "a file's hash is not remembered");
    }
}

impl FileVersion {
    /// None for a path that cannot be made whole.
    fn of(path: &Path, metadata: &Metadata) -> Option<Self> {
        Some(Self {
            path: std::path::absolute(path).ok()?,
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let latest = self.modified.0.max(self.changed.0);
        u64::try_from(latest).is_ok_and(|latest| Duration::from_secs(latest) + SETTLED_AFTER < now)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use std::fs;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::Event;

    #[tokio::test]
    async fn a_file_is_read_again_once_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, cache) = (folder.path().join("file"), HashCache::at(folder.path().join("cache"), false));
        let read = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&read);
        let progress = Progress::new(move |_, event| {
            if let Event::Advanced(bytes) = event {
                counter.fetch_add(bytes, Ordering::Relaxed);
            }
        });
        let hash = async || {
            read.store(0, Ordering::Relaxed);
            let source = FileSource::open(&file).await.unwrap();
            let hashed = cache.hash(&source, &progress).await.unwrap();
            (hashed, read.load(Ordering::Relaxed))
        };
        let write = |byte: u8| fs::write(&file, vec![byte; usize::try_from(MIN_SIZE).unwrap()]).unwrap();
        write(1);
        assert_eq!((hash().await.1, hash().await.1), (MIN_SIZE, MIN_SIZE), "it has just been written");
        tokio::time::sleep(SETTLED_AFTER + Duration::from_millis(1100)).await;
        let (first, bytes) = hash().await;
        assert_eq!(bytes, MIN_SIZE);
        assert_eq!(hash().await, (first.clone(), 0), "its midstates as well");
        // Of the same size and, by its own account, as old as before.
        let old = fs::metadata(&file).unwrap().modified().unwrap();
        write(2);
        fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
        let (second, bytes) = hash().await;
        assert!(bytes == MIN_SIZE && second.digest != first.digest);
    }
}
