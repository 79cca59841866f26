//! Published blobs: how one appears, and how it is read.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::directory::{self, UploadDirectory, missing, remove_file, size_of};
use super::lock::Access;
use super::remove::lock;
use super::{DIRECTORY_MODE, Filesystem, Result, blocking};
use crate::domain::digest::Digest;
use crate::domain::range::ByteRange;
use crate::storage::{Sealed, StorageError, key};

/// Read ahead of a download: few enough trips to the file threads, little memory for each client.
const DOWNLOAD_BLOCK_SIZE: usize = 256 * 1024;
/// As a sealed file's.
const BLOB_MODE: u32 = 0o400;

impl Filesystem {
    pub(in crate::storage) async fn place(&self, sealed: &Sealed, digest: &Digest) -> Result<()> {
        let root = Arc::clone(&self.root);
        let (blobs, source, size) = (root.join(key::BLOB_PREFIX), self.path(&sealed.key), sealed.size);
        let target = self.path(&key::blob(digest));
        blocking(move || {
            let failed = || StorageError::unavailable("look at the sealed file");
            match size_of(&source).map_err(failed())? {
                None => return Err(StorageError::NotFound),
                Some(found) if found != size => return Err(StorageError::Precondition),
                Some(_) => {}
            }
            let directory = UploadDirectory::of_sealed(&source).ok_or(StorageError::NotFound)?;
            let placing = directory.placing();
            stage_link(&source, &placing)?;
            let _lock = lock(&root, Access::Shared)?;
            publish(&blobs, &placing, &target)
        })
        .await
    }

    pub(in crate::storage) async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.path(&key::blob(digest));
        blocking(move || size_of(&path).map_err(StorageError::unavailable("look at a blob"))).await
    }

    /// A blob's bytes as a stream. [`StorageError::Precondition`] for a range that it does not have.
    pub(in crate::storage) async fn open(
        &self,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>> {
        let failed = || StorageError::unavailable("open a blob");
        let mut file = tokio::fs::File::open(self.path(&key::blob(digest)))
            .await
            .map_err(missing(StorageError::NotFound, "open a blob"))?;
        let size = file.metadata().await.map_err(failed())?.len();
        let range = range.unwrap_or(ByteRange { start: 0, end: size });
        if range.start > range.end || range.end > size {
            return Err(StorageError::Precondition);
        }
        if range.start > 0 {
            file.seek(SeekFrom::Start(range.start)).await.map_err(failed())?;
        }
        Ok(ReaderStream::with_capacity(file.take(range.length()), DOWNLOAD_BLOCK_SIZE).boxed())
    }
}

/// Gives the sealed file a second name that can be renamed away: no byte is copied, and the first stays.
fn stage_link(source: &Path, placing: &Path) -> Result<()> {
    match fs::hard_link(source, placing) {
        Err(error) if links_are_not_to_be_had(&error) => stage_copy(source, placing),
        linked => linked.map_err(missing(StorageError::NotFound, "link the sealed file")),
    }
}

/// FAT and some network filesystems have no hard links, others have only so many for one file.
fn links_are_not_to_be_had(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::Unsupported
            | ErrorKind::TooManyLinks
            | ErrorKind::CrossesDevices
    )
}

fn stage_copy(source: &Path, placing: &Path) -> Result<()> {
    let mut source = File::open(source).map_err(missing(StorageError::NotFound, "open the sealed file"))?;
    let mut copy = || {
        let mut copy = File::options().write(true).create_new(true).mode(0o600).open(placing)?;
        io::copy(&mut source, &mut copy)?;
        copy.set_permissions(Permissions::from_mode(BLOB_MODE))?;
        copy.sync_all()
    };
    copy().map_err(StorageError::unavailable("copy the sealed file"))
}

/// Makes a staged file a blob, whole or not at all, and durable.
fn publish(blobs: &Path, placing: &Path, target: &Path) -> Result<()> {
    let parent = target.parent().unwrap_or(blobs);
    make_durable_directories(blobs, parent)?;
    fs::rename(placing, target).map_err(StorageError::unavailable("put a blob in its place"))?;
    // Renaming one name of a file onto another of the same file does nothing and leaves both: a place repeated.
    remove_file(placing).map_err(StorageError::unavailable("remove a staged blob"))?;
    directory::sync(parent)
}

/// Makes the directories from `top` down to `directory`, and their names durable. Syncs also what somebody
/// else made: they may not have come to it yet.
fn make_durable_directories(top: &Path, directory: &Path) -> Result<()> {
    let mut parent = top.to_owned();
    for name in directory.strip_prefix(top).into_iter().flat_map(Path::components) {
        let child = parent.join(name);
        match make_directory(&child) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(StorageError::unavailable("make a blob's directory")(error));
            }
            _ => directory::sync(&parent)?,
        }
        parent = child;
    }
    Ok(())
}

fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(DIRECTORY_MODE).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filesystem_without_hard_links_gets_a_copy_that_becomes_the_blob() -> io::Result<()> {
        let root = tempfile::tempdir()?;
        let (source, placing) = (root.path().join("sealed"), root.path().join("placing"));
        fs::write(&source, b"bytes")?;
        stage_copy(&source, &placing).map_err(io::Error::other)?;
        let target = root.path().join("blobs/sha256/ab/cd/abcd");
        publish(root.path(), &placing, &target).map_err(io::Error::other)?;
        assert_eq!(fs::read(&target)?, b"bytes");
        assert_eq!(fs::metadata(&target)?.permissions().mode() & 0o777, BLOB_MODE);
        assert!(source.exists() && !placing.exists());
        Ok(())
    }

    #[test]
    fn a_missing_sealed_file_is_not_taken_for_a_missing_feature() {
        assert!(!links_are_not_to_be_had(&ErrorKind::NotFound.into()));
        assert!(links_are_not_to_be_had(&ErrorKind::Unsupported.into()));
    }
}
