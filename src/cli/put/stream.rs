//! Standard input as a blob: its length is not known, so it goes through the server in chunks.

use std::io::Read;

use anyhow::Context;
use bytes::Bytes;
use overside_client::PutOutcome;

use super::Put;
use crate::cli::pipe::STDIO;

/// Read at once, and kept until the server has it: standard input cannot be read again.
const CHUNK_SIZE: usize = 16 * 1024 * 1024;

pub(super) async fn put(put: &Put<'_>) -> anyhow::Result<PutOutcome> {
    let progress = put.display.progress().of(STDIO);
    let (sender, chunks) = tokio::sync::mpsc::channel(1);
    // A thread of its own: a read of standard input cannot be called off, and must not hold up the end.
    std::thread::spawn(move || {
        loop {
            let chunk = read_chunk();
            let is_last = chunk.as_ref().map_or(true, Bytes::is_empty);
            if sender.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    });
    let sent = put.repository.put_stream(chunks).jobs(put.limit.clone()).progress(progress).send().await;
    sent.context("cannot upload standard input; it has to be sent again from its beginning")
}

/// Full unless it is the last one.
fn read_chunk() -> std::io::Result<Bytes> {
    let mut chunk = Vec::with_capacity(CHUNK_SIZE);
    std::io::stdin().lock().take(CHUNK_SIZE as u64).read_to_end(&mut chunk)?;
    Ok(chunk.into())
}
