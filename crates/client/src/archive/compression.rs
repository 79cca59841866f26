//! The compressions of layers and archives, recognised by their first bytes.

use std::io::{self, BufRead, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// RFC 1952 §2.3.1, with the only method there is.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
/// RFC 8878 §3.1.1.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// RFC 8878 §3.1.2, of which the lowest four bits are free; some tools begin with such a frame.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// The xz file format 1.2.1, §2.1.1.1.
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
/// What bzip2 begins with; a digit from 1 to 9 follows, and then a block or, where there is none, the end. A tar whose
/// first file is called so has neither.
const BZIP2: [u8; 3] = *b"BZh";
const BZIP2_BLOCKS: [[u8; 6]; 2] =
    [[0x31, 0x41, 0x59, 0x26, 0x53, 0x59], [0x17, 0x72, 0x45, 0x38, 0x50, 0x90]];

/// Bytes that are needed to recognise a compression.
pub(super) const MAX_MARK: usize = 10;
/// In KiB, for xz: as for zstd, a dictionary of 128 MiB, twice what `xz -9` takes, and the decoder's own.
const XZ_MEMORY_KIB: u32 = 129 * 1024;

/// A compression of layers and archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Compression {
    /// The compression of content that begins with these bytes; none if it is not compressed.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        let is_skippable = start.first().is_some_and(|byte| byte & 0xf0 == 0x50)
            && start.get(1..).is_some_and(|rest| rest.starts_with(&ZSTD_SKIPPABLE));
        let is_bzip2 = start.starts_with(&BZIP2)
            && start.get(BZIP2.len()).is_some_and(|level| matches!(level, b'1'..=b'9'))
            && start
                .get(BZIP2.len() + 1..)
                .is_some_and(|rest| BZIP2_BLOCKS.iter().any(|block| rest.starts_with(block)));
        if start.starts_with(&GZIP) {
            Some(Self::Gzip)
        } else if start.starts_with(&ZSTD) || is_skippable {
            Some(Self::Zstd)
        } else if start.starts_with(&XZ) {
            Some(Self::Xz)
        } else if is_bzip2 {
            Some(Self::Bzip2)
        } else {
            None
        }
    }

    /// The end of a media type that names the compression. Only the first two are in the image specification.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }

    /// A reader of the uncompressed bytes. Memory is bounded: 32 KiB of history for gzip, 4 MiB for bzip2, and for zstd and xz 128 MiB, by
    /// the decoders' own limits.
    pub(super) fn unpack<'a>(self, packed: impl BufRead + Send + 'a) -> Box<dyn Read + Send + 'a> {
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Zstd => Box::new(Frames { packed, decoder: FrameDecoder::new(), in_frame: false }),
            Self::Xz => Box::new(Xz(XzReader::new_mem_limit(packed, true, XZ_MEMORY_KIB))),
            Self::Bzip2 => Box::new(MultiBzDecoder::new(packed)),
        }
    }
}

/// xz, with errors that say what to do, and of a kind that is about the bytes.
struct Xz<R: Read>(XzReader<R>);

impl<R: BufRead> Read for Xz<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::OutOfMemory => {
                io::Error::other("its dictionary is larger than 128 MiB; pack it with xz -9 or less")
            }
            io::ErrorKind::Unsupported => io::Error::other(error),
            _ => error,
        })
    }
}

/// zstd's frames one after another; the decoder knows one at a time.
struct Frames<R> {
    packed: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.in_frame || self.next_frame()? {
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                if let Err(error) = self.decoder.decode_blocks(&mut self.packed, one) {
                    return Err(self.failure(error));
                }
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.in_frame = false;
        }
        Ok(0)
    }
}

impl<R: BufRead> Frames<R> {
    /// Begins with the next frame that has content, if there is one.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => {
                    self.in_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut (&mut self.packed).take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(self.failure(error)),
            }
        }
        Ok(false)
    }

    /// The decoder's own errors do not tell an early end from damage.
    fn failure(&mut self, error: FrameDecoderError) -> io::Error {
        match self.packed.fill_buf() {
            Ok([]) => io::ErrorKind::UnexpectedEof.into(),
            Ok(_) => io::Error::other(error),
            Err(error) => error,
        }
    }
}
