//! Reads a tar forward: from a file, or as it is unpacked.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::compression::Compression;
use super::examine::{READ_SIZE, Watch};

/// A tar that is read forward, and the position in it.
pub(super) struct TarReader {
    input: Input,
    position: u64,
}

enum Input {
    File { file: File, length: u64 },
    Packed(Box<dyn Read + Send>),
}

impl TarReader {
    /// Opens a tar at its start. Of a packed one, `watch` counts the bytes read of the file.
    pub(super) fn open(path: &Path, compression: Option<Compression>, watch: &Watch) -> io::Result<Self> {
        let file = File::open(path)?;
        let input = match compression {
            Some(compression) => {
                let packed = BufReader::with_capacity(READ_SIZE, watch.over(file));
                Input::Packed(compression.unpack(packed))
            }
            None => Input::File { length: file.metadata()?.len(), file },
        };
        Ok(Self { input, position: 0 })
    }

    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Whether so many bytes can still come. Unknown, and so true, of a packed one.
    pub(super) fn may_have(&self, bytes: u64) -> bool {
        match &self.input {
            Input::File { length, .. } => bytes <= length.saturating_sub(self.position),
            Input::Packed(_) => true,
        }
    }

    /// Goes forward, at most to the end.
    pub(super) fn skip_to(&mut self, position: u64) -> io::Result<()> {
        let ahead = position.saturating_sub(self.position);
        match &mut self.input {
            Input::File { file, length } => {
                self.position = position.min(*length);
                file.seek(SeekFrom::Start(self.position))?;
            }
            Input::Packed(stream) => self.position += io::copy(&mut stream.take(ahead), &mut io::sink())?,
        }
        Ok(())
    }
}

impl Read for TarReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.input {
            Input::File { file, .. } => file.read(buffer)?,
            Input::Packed(stream) => stream.read(buffer)?,
        };
        self.position += read as u64;
        Ok(read)
    }
}
