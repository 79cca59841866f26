//! Bytes by the gigabyte that are never in memory at once, can be taken from any offset and repeat nowhere.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, stream};
use overside::domain::digest::Digest;
use overside::domain::hash::Hasher;
use reqwest::header::LOCATION;

use crate::support::api;

/// Everything but its first bytes is the same in each block, and shared: a gigabyte costs next to nothing to make.
const BLOCK: u64 = 1 << 20;
/// The block's own number, which makes it another than all the others.
const STAMP: u64 = 8;

/// The content of one blob.
#[derive(Debug, Clone, Copy)]
pub struct Content {
    /// In bytes.
    pub size: u64,
}

impl Content {
    /// Pieces of at most a block, from `start` up to `end`.
    pub fn pieces(self, start: u64, end: u64) -> impl Iterator<Item = Bytes> + Send + 'static {
        let filling = Bytes::from(api::content(usize::try_from(BLOCK).expect("a block fits")));
        let end = end.min(self.size);
        let mut offset = start;
        std::iter::from_fn(move || {
            if offset >= end {
                return None;
            }
            let (block, within) = (offset / BLOCK, offset % BLOCK);
            let piece = if within < STAMP {
                let stamp = scattered(block).to_le_bytes();
                let length = (STAMP - within).min(end - offset);
                Bytes::copy_from_slice(&stamp[index(within)..index(within + length)])
            } else {
                let length = (BLOCK - within).min(end - offset);
                filling.slice(index(within)..index(within + length))
            };
            offset += piece.len() as u64;
            Some(piece)
        })
    }

    /// A request's body from `start` up to `end`.
    pub fn stream(self, start: u64, end: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::iter(self.pieces(start, end).map(Ok))
    }

    pub fn body(self, start: u64, end: u64) -> reqwest::Body {
        reqwest::Body::wrap_stream(self.stream(start, end))
    }

    pub async fn digest(self) -> Digest {
        let hashing = tokio::task::spawn_blocking(move || {
            let mut hasher = Hasher::default();
            self.pieces(0, self.size).for_each(|piece| hasher.update(&piece));
            hasher.finish()
        });
        hashing.await.expect("hashing does not panic")
    }
}

/// Reads a blob as a client does, from wherever it is: its length and what it hashes to.
pub async fn read(repository: &api::Repository, digest: &Digest) -> (u64, Digest) {
    let http = &repository.http;
    let mut response = http.get(repository.url(digest)).send().await.expect("an answer");
    if response.status() == 307 {
        let url = response.headers()[LOCATION].to_str().expect("a URL").to_owned();
        response = http.get(url).send().await.expect("an answer");
    }
    assert_eq!(response.status(), 200);
    let (mut hasher, mut length) = (Hasher::default(), 0);
    while let Some(bytes) = response.chunk().await.expect("the whole blob") {
        length += bytes.len() as u64;
        hasher.update(&bytes);
    }
    (length, hasher.finish())
}

/// splitmix64's finalizer (Steele, Lea and Flood 2014): no two numbers give the same.
const fn scattered(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn index(within: u64) -> usize {
    usize::try_from(within).expect("an offset within a block")
}
