//! Memory for parts of proxied uploads: one budget for the whole server, whatever the number of senders.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::storage::{Result, StorageError};

/// Parts held at once, of all appends: eight of 8 MiB, which is more than two cores hash while a store writes.
/// A sender can make a byte take three (see `storage::rope`): with 64 connections, and everything else, the
/// server still stays below 256 MiB.
const BUDGET: u32 = 64 * 1024 * KIB;
const KIB: u32 = 1024;
/// Parts that there is room for, however large they are: one is filled while another travels.
const LEAST_PARTS: u32 = 2;
/// How long a part may be filled while others wait for its room: 8 MiB at 22 Mbit/s. A slower sender loses
/// nothing but time; its bytes wait in the store instead of in memory.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between looks whether somebody waits.
const POLL: Duration = Duration::from_millis(250);

/// Gives room to whoever asks first.
#[derive(Debug)]
pub(super) struct Rooms {
    /// In KiB.
    free: Arc<Semaphore>,
    /// All there is, in KiB; grows with the largest part seen.
    total: Mutex<u32>,
    waiting: AtomicUsize,
}

/// Room for one part, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    _permit: OwnedSemaphorePermit,
    since: Instant,
}

/// Counts one who waits, also one who gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl Default for Rooms {
    fn default() -> Self {
        let total = BUDGET / KIB;
        Self {
            free: Arc::new(Semaphore::new(total as usize)),
            total: Mutex::new(total),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl Rooms {
    /// Waits for room for a part of this many bytes.
    pub async fn take(&self, part_size: usize) -> Result<Room> {
        let size = u32::try_from(part_size.div_ceil(KIB as usize))
            .map_err(StorageError::unavailable("hold a part"))?;
        self.grow(size.saturating_mul(LEAST_PARTS));
        let _waiting = Waiting::new(&self.waiting);
        let permit = Arc::clone(&self.free).acquire_many_owned(size).await;
        let permit = permit.map_err(StorageError::unavailable("wait for room"))?;
        Ok(Room { _permit: permit, since: Instant::now() })
    }

    /// Ends once this room has been held for long and others wait.
    pub async fn overstayed(&self, room: &Room) {
        tokio::time::sleep_until(room.since + PATIENCE).await;
        while self.waiting.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(POLL).await;
        }
    }

    fn grow(&self, least: u32) {
        let Ok(mut total) = self.total.lock() else { return };
        if least > *total {
            self.free.add_permits((least - *total) as usize);
            *total = least;
        }
    }
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_holds_room_is_asked_to_go_only_when_others_wait() {
        let rooms = Arc::new(Rooms::default());
        let half = BUDGET as usize / 2;
        let (room, _other) = (rooms.take(half).await.expect("room"), rooms.take(half).await.expect("room"));
        // One who gave up waits no more.
        assert!(tokio::time::timeout(POLL, rooms.take(1)).await.is_err(), "nothing is free");
        let asked = tokio::time::timeout(PATIENCE + 2 * POLL, rooms.overstayed(&room)).await;
        assert!(asked.is_err(), "nobody waits");
        let waiting = tokio::spawn({
            let rooms = Arc::clone(&rooms);
            async move { rooms.take(1).await.map(drop) }
        });
        rooms.overstayed(&room).await;
        drop(room);
        waiting.await.expect("no panic").expect("room");
    }

    #[tokio::test]
    async fn two_parts_find_room_however_large_they_are() {
        let rooms = Rooms::default();
        let part = 5 << 30;
        let _two = (rooms.take(part).await.expect("room"), rooms.take(part).await.expect("room"));
    }
}
