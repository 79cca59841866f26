//! Compresses one layer into a temporary file, and hashes it on the way.

use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use overside_protocol::digest::Digest;
use overside_protocol::hash::Hasher;
use tempfile::{NamedTempFile, TempPath};

use super::LayerCompression;
use crate::archive::examine::{READ_SIZE, Watch};
use crate::archive::{ArchiveError, Blob, OpenedBlob, blocking};
use crate::files::midstates::Midstates;
use crate::files::source::{FileSource, each_block};
use crate::progress::Progress;

/// What zstd packs with where nothing else is asked for; its window of 2 MiB is known to every reader.
const ZSTD_LEVEL: i32 = 3;

/// A layer as it is sent.
#[derive(Debug)]
pub struct CompressedLayer {
    pub digest: Digest,
    pub source: FileSource,
    pub midstates: Midstates,
    _path: TempPath,
}

/// Packs what is in a layer, and proves once more that it is what its image says.
pub(super) async fn pack(
    opened: OpenedBlob,
    blob: &Blob,
    packing: LayerCompression,
    progress: &Progress,
) -> Result<CompressedLayer, ArchiveError> {
    let path = opened.source.path().to_owned();
    let (progress, layer) = (progress.clone(), blob.layer);
    let Some(layer) = layer else { return Err(ArchiveError::Changed(path)) };
    blocking(&path.clone(), progress, move |watch| {
        let folder = std::env::temp_dir();
        // Nobody else may read what somebody's image has in it: NamedTempFile sees to that.
        let file = NamedTempFile::new().map_err(ArchiveError::file("create a file in", &folder))?;
        let mut target = HashedFile::new(file);
        let mut inside = Hasher::new(layer.diff_id.algorithm());
        let reader = opened.source.read_blocking().map_err(ArchiveError::file("open", &path))?;
        let reader = io::BufReader::with_capacity(READ_SIZE, watch.over(reader));
        let reader: Box<dyn Read + Send> = match layer.compression {
            Some(compression) => compression.unpack(reader),
            None => Box::new(reader),
        };
        let reader = Hashing { inner: reader, hasher: &mut inside };
        let written = match packing {
            // No name and no time in it: the same layer is packed to the same bytes.
            LayerCompression::Gzip => {
                let mut packer = GzEncoder::new(&mut target, flate2::Compression::default());
                each_block(reader, |block| packer.write_all(block)).and_then(|()| packer.finish().map(drop))
            }
            LayerCompression::Zstd => zstd::Encoder::new(&mut target, ZSTD_LEVEL).and_then(|mut packer| {
                each_block(reader, |block| packer.write_all(block)).and_then(|()| packer.finish().map(drop))
            }),
        };
        written.and_then(|()| target.flush_all()).map_err(|error| packing_failed(error, &path, watch))?;
        if inside.finish() != layer.diff_id {
            return Err(ArchiveError::Changed(path));
        }
        target.finish()
    })
    .await
}

/// The temporary folder is what is full, as a rule.
fn packing_failed(error: io::Error, path: &std::path::Path, watch: &Watch) -> ArchiveError {
    if error.kind() == io::ErrorKind::StorageFull && !watch.stop.is_cancelled() {
        return ArchiveError::NoRoomToPack { folder: std::env::temp_dir(), source: error };
    }
    ArchiveError::file("compress", path)(error)
}

/// Hashes what is read.
struct Hashing<'a> {
    inner: Box<dyn Read + Send>,
    hasher: &'a mut Hasher,
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// A file that is hashed as it is written, in the steps that midstates need.
struct HashedFile {
    file: NamedTempFile,
    buffer: Vec<u8>,
    hasher: Hasher,
    midstates: Midstates,
    length: u64,
}

impl HashedFile {
    fn new(file: NamedTempFile) -> Self {
        let (hasher, midstates) = (Hasher::default(), Midstates::default());
        Self { file, buffer: Vec::with_capacity(READ_SIZE), hasher, midstates, length: 0 }
    }

    fn flush_all(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.length += self.buffer.len() as u64;
        self.midstates.note(&self.hasher, self.length);
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(self) -> Result<CompressedLayer, ArchiveError> {
        let (file, path) = self.file.into_parts();
        let metadata = file.metadata().map_err(ArchiveError::file("read", &path))?;
        let source = FileSource::of(&path, &metadata);
        let source = source.filter(|source| source.size() == self.length);
        let source = source.ok_or_else(|| ArchiveError::Changed(path.to_path_buf()))?;
        let (digest, midstates) = (self.hasher.finish(), self.midstates);
        Ok(CompressedLayer { digest, source, midstates, _path: path })
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(READ_SIZE - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == READ_SIZE {
            self.flush_all()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
