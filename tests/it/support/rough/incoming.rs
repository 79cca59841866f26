//! What a client says on one connection, request by request.

use std::io;
use std::sync::atomic::Ordering::SeqCst;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::{End, Line, Stop};

/// Bytes read at once.
const BLOCK: usize = 64 << 10;
/// Longer heads than any server takes.
const LINE_LIMIT: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Incoming<'a> {
    from: ReadHalf<'a>,
    line: &'a Line,
    /// Read and not yet forwarded.
    buffer: BytesMut,
    /// The newest request.
    request: Option<usize>,
    is_cut: bool,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
}

impl<'a> Incoming<'a> {
    pub fn new(from: ReadHalf<'a>, line: &'a Line) -> Self {
        Self { from, line, buffer: BytesMut::with_capacity(BLOCK), request: None, is_cut: false }
    }

    pub fn into_inner(self) -> ReadHalf<'a> {
        self.from
    }

    pub const fn request(&self) -> Option<usize> {
        self.request
    }

    /// Forwards requests until there is a reason to stop.
    pub async fn forward(&mut self, to: &mut WriteHalf<'_>) -> Stop {
        loop {
            if let Err(stop) = self.forward_one(to).await {
                if let (Stop::Cut, Some(request)) = (&stop, self.request) {
                    self.line.update(request, |request| request.end = End::Cut);
                }
                return stop;
            }
        }
    }

    async fn forward_one(&mut self, to: &mut WriteHalf<'_>) -> Result<(), Stop> {
        if self.buffer.is_empty() && self.fill().await? == 0 {
            return Err(Stop::Finished);
        }
        let length = self.until(b"\r\n\r\n").await?;
        let head = String::from_utf8_lossy(&self.buffer[..length]).into_owned();
        let mut words = head.split_ascii_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let path = target.split('?').next().unwrap_or_default();
        let (request, refusal) = self.line.begin(method, path);
        self.request = Some(request);
        if let Some(refusal) = refusal {
            // What came with the head is the beginning of a body, which nobody will read.
            let body = (self.buffer.len() - length) as u64;
            self.line.update(request, |request| request.body += body);
            if self.is_cut {
                self.line.owed.store(true, SeqCst);
            }
            return Err(Stop::Refused { asks_for_retry: !refusal.is_multiple_of(2) });
        }
        self.pass(length as u64, false, to).await?;
        match framing(&head) {
            Framing::Length(length) => self.pass(length, true, to).await,
            Framing::Chunked => self.pass_chunks(to).await,
        }
    }

    async fn pass_chunks(&mut self, to: &mut WriteHalf<'_>) -> Result<(), Stop> {
        loop {
            let length = self.until(b"\r\n").await?;
            let size = String::from_utf8_lossy(&self.buffer[..length - 2]).into_owned();
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("chunk size {size:?}: {error}"))
            })?;
            self.pass(length as u64, false, to).await?;
            if size == 0 {
                break;
            }
            self.pass(size, true, to).await?;
            self.pass(2, false, to).await?;
        }
        // Trailers, and the empty line after them.
        loop {
            let length = self.until(b"\r\n").await?;
            self.pass(length as u64, false, to).await?;
            if length == 2 {
                return Ok(());
            }
        }
    }

    /// Forwards so many bytes, as they come.
    async fn pass(&mut self, mut left: u64, is_body: bool, to: &mut WriteHalf<'_>) -> Result<(), Stop> {
        while left > 0 {
            if self.buffer.is_empty() && self.fill().await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let length = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if let Some(request) = self.request.filter(|_| is_body) {
                self.line.update(request, |request| request.body += length as u64);
            }
            if self.is_cut {
                return Err(Stop::Cut);
            }
            to.write_all(&self.buffer[..length]).await?;
            self.buffer.advance(length);
            left -= length as u64;
        }
        Ok(())
    }

    /// Reads until the buffer holds `end`: how far that reaches.
    async fn until(&mut self, end: &[u8]) -> Result<usize, Stop> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Ok(at + end.len());
            }
            if self.buffer.len() > LINE_LIMIT || self.fill().await? == 0 {
                return Err(io::Error::from(io::ErrorKind::InvalidData).into());
            }
        }
    }

    /// Reads what there is, at most a block; 0 at the end.
    async fn fill(&mut self) -> Result<usize, Stop> {
        self.buffer.reserve(BLOCK);
        let length = self.from.read_buf(&mut self.buffer).await?;
        self.is_cut |= self.line.count(length as u64);
        Ok(length)
    }
}

fn framing(head: &str) -> Framing {
    let header = |name: &str| {
        let mut headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    if header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().ends_with("chunked")) {
        return Framing::Chunked;
    }
    Framing::Length(header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0))
}
