//! Hashes a file: one pass over the bytes gives their digest, their midstates, and the digest of what they unpack to.

use std::io::{self, BufRead, Read};

use overside_protocol::digest::{Algorithm, Digest};
use overside_protocol::hash::Hasher;
use tokio_util::sync::CancellationToken;

use super::compression::Compression;
use crate::files::midstates::Midstates;
use crate::files::source::{each_block, fill};
use crate::progress::{Event, Progress};

/// One read while hashing: system calls do not count beside SHA-256, and midstates are one for each.
pub(super) const READ_SIZE: usize = 1024 * 1024;

/// The result of hashing one file.
#[derive(Debug, Clone)]
pub(super) struct Examined {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) midstates: Midstates,
    /// If it is packed: how, and the SHA-256 of what is inside, or why that cannot be told.
    pub(super) packed: Option<(Compression, Result<Digest, String>)>,
}

/// Reads to the end.
pub(super) fn examine(reader: impl Read + Send, algorithm: Algorithm) -> io::Result<Examined> {
    let mut tee = Tee::new(reader, algorithm);
    let compression = Compression::of(tee.fill_buf()?);
    let packed = compression.map(|compression| {
        let inside = hash(compression.unpack(&mut tee), Algorithm::Sha256);
        (compression, inside.map_err(|error| error.to_string()))
    });
    // What was wrong with the file comes before what the decoder made of it.
    if let Some(error) = tee.failure.take() {
        return Err(error);
    }
    loop {
        let unread = tee.fill_buf()?.len();
        if unread == 0 {
            break;
        }
        tee.consume(unread);
    }
    Ok(Examined { digest: tee.hasher.finish(), size: tee.length, midstates: tee.midstates, packed })
}

/// The digest of all that is left to read.
pub(crate) fn hash(reader: impl Read, algorithm: Algorithm) -> io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    each_block(reader, |block| {
        hasher.update(block);
        Ok(())
    })?;
    Ok(hasher.finish())
}

/// Hashes what passes.
struct Tee<R> {
    inner: R,
    buffer: Vec<u8>,
    filled: usize,
    taken: usize,
    hasher: Hasher,
    midstates: Midstates,
    length: u64,
    failure: Option<io::Error>,
}

impl<R: Read> Tee<R> {
    fn new(inner: R, algorithm: Algorithm) -> Self {
        Self {
            inner,
            buffer: vec![0; READ_SIZE],
            filled: 0,
            taken: 0,
            hasher: Hasher::new(algorithm),
            midstates: Midstates::default(),
            length: 0,
            failure: None,
        }
    }
}

impl<R: Read> BufRead for Tee<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.filled {
            (self.taken, self.filled) = (0, 0);
            match fill(&mut self.inner, &mut self.buffer) {
                Ok(read) => self.filled = read,
                Err(error) => {
                    let kind = error.kind();
                    self.failure = Some(error);
                    return Err(kind.into());
                }
            }
            self.hasher.update(&self.buffer[..self.filled]);
            self.length += self.filled as u64;
            self.midstates.note(&self.hasher, self.length);
        }
        Ok(&self.buffer[self.taken..self.filled])
    }

    fn consume(&mut self, amount: usize) {
        self.taken = (self.taken + amount).min(self.filled);
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut unread = self.fill_buf()?;
        let read = unread.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// The listener of long work, and the token that ends it.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub(super) progress: Progress,
    pub(super) stop: CancellationToken,
}

impl Watch {
    /// For what was counted already, or is too little to count.
    pub(super) fn quiet(&self) -> Self {
        Self { progress: Progress::default(), stop: self.stop.clone() }
    }

    pub(super) fn over<R: Read>(&self, inner: R) -> Watched<R> {
        Watched { inner, watch: self.clone() }
    }
}

/// Counts what is read, and ends early when nobody wants it any more.
pub(super) struct Watched<R> {
    inner: R,
    watch: Watch,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.watch.stop.is_cancelled() {
            // Not `Interrupted`, which readers try again.
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let read = self.inner.read(buffer)?;
        self.watch.progress.report(Event::Advanced(read as u64));
        Ok(read)
    }
}
