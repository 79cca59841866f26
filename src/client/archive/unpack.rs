//! gzip and zstd, known by their first bytes.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// RFC 1952 §2.3.1, with the only method there is.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
/// RFC 8878 §3.1.1.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// RFC 8878 §3.1.2, of which the lowest four bits are free; some tools begin with such a frame.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// How bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// Of content that begins so; none if it is not packed.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        let is_skippable = start.first().is_some_and(|byte| byte & 0xf0 == 0x50)
            && start.get(1..).is_some_and(|rest| rest.starts_with(&ZSTD_SKIPPABLE));
        if start.starts_with(&GZIP) {
            Some(Self::Gzip)
        } else if start.starts_with(&ZSTD) || is_skippable {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// What is in it. Memory is bounded: 32 KiB of history for gzip, 128 MiB for zstd, by the decoder's own limit.
    pub(super) fn unpack<'a>(self, packed: impl BufRead + Send + 'a) -> Box<dyn Read + Send + 'a> {
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Zstd => Box::new(Frames { packed, decoder: FrameDecoder::new(), in_frame: false }),
        }
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
