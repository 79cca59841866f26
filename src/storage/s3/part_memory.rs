//! Memory for parts of proxied uploads, and who gets how much of it.
//!
//! A sender that has shown that it is fast has a whole part's memory, which it fills at once: parts go out as they
//! came in. One that is slow, or is not known yet, has memory for the bytes that are there. Where there is no more of
//! that, these go into the store as objects of their own, and nobody waits for anybody.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::memory::{MemoryBudget, MemoryShare};

/// Parts held at once, of all appends: eight of 8 MiB, which is more than two cores hash while a store writes.
/// A sender can make a byte take three (see `storage::segmented_bytes`): with 64 connections, and everything else, the
/// server still stays below 256 MiB.
const PARTS: usize = 64 * 1024 * 1024;
/// Parts that there is room for, however large they are: one is filled while another travels.
const LEAST_PARTS: usize = 2;
/// Bytes of those that are slow, or not known yet: with 480 connections, 32 KiB each besides what each has anyway.
const SCRAPS: usize = 16 * 1024 * 1024;
/// What they grow by.
pub(super) const SCRAP: usize = 64 * 1024;
/// Who asks for what finalizing needs: all of it together has the share of one user.
pub(super) const OWN_WORK: &str = "";

/// Bytes after which a sender's pace is judged: more than what sockets have gathered while a request was looked at.
const PROOF: u64 = 256 * 1024;
/// A sender that is fast, in bytes a second: 22 Mbit/s fill a part of 8 MiB in three seconds.
const FAST: u64 = 8 * 1024 * 1024 / 3;
/// How far behind that a sender with a part's memory may fall: two round trips to the other side of the world.
const GRACE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct PartMemory {
    parts: Arc<MemoryBudget>,
    scraps: Arc<MemoryBudget>,
}

/// How fast a sender is. Only the time for which it was waited for counts.
#[derive(Debug, Default)]
pub(super) struct Pace {
    bytes: u64,
    time: Duration,
    waiting_since: Option<Instant>,
    is_fast: bool,
}

impl Default for PartMemory {
    fn default() -> Self {
        Self { parts: MemoryBudget::new(PARTS, PARTS), scraps: MemoryBudget::new(SCRAPS, SCRAPS) }
    }
}

impl PartMemory {
    /// Waits for memory for a part of this many bytes.
    pub async fn take(&self, caller: &Arc<str>, part_size: usize) -> MemoryShare {
        self.parts.grow_to(part_size.saturating_mul(LEAST_PARTS));
        self.parts.take(caller, part_size).await
    }

    /// Memory that grows with what is there.
    pub fn scraps(&self, caller: &Arc<str>) -> MemoryShare {
        self.scraps.share(caller)
    }
}

impl Pace {
    /// The sender is waited for from now on.
    pub fn wait(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// So many bytes came.
    pub fn arrived(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.waiting_since.take() {
            self.time += now.saturating_duration_since(since);
        }
        self.bytes += bytes as u64;
        if !self.is_fast && self.bytes >= PROOF {
            self.is_fast = self.time <= due(self.bytes);
            self.restart();
        }
    }

    /// Judged by the last [`PROOF`] bytes, or by the last part that it filled.
    pub const fn is_fast(&self) -> bool {
        self.is_fast
    }

    /// It fills a part's memory from now on.
    pub const fn restart(&mut self) {
        self.bytes = 0;
        self.time = Duration::ZERO;
    }

    /// It has to show anew that it is fast.
    pub const fn distrust(&mut self) {
        self.is_fast = false;
        self.restart();
    }

    /// When it falls too far behind, if nothing comes until then.
    pub fn late_at(&self, now: Instant) -> Instant {
        self.waiting_since.unwrap_or(now) + (GRACE + due(self.bytes)).saturating_sub(self.time)
    }
}

/// For a fast sender to send so much.
const fn due(bytes: u64) -> Duration {
    Duration::from_millis(bytes * 1000 / FAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pace of one who sends so many bytes every so often, for so long.
    fn paced(bytes: usize, every: Duration, total: Duration) -> Pace {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        let mut now = begun;
        while now < begun + total {
            pace.wait(now);
            now += every;
            pace.arrived(bytes, now);
        }
        pace
    }

    #[test]
    fn a_sender_is_fast_once_it_has_shown_it() {
        let ms = Duration::from_millis;
        assert!(paced(32 << 10, ms(1), ms(100)).is_fast(), "32 MB/s");
        assert!(!paced(32 << 10, ms(1), ms(5)).is_fast(), "a burst is no proof");
        assert!(!paced(1 << 10, ms(100), ms(60_000)).is_fast(), "10 KB/s");
        // What this server needs between two pieces does not count.
        let (mut pace, now) = (Pace::default(), Instant::now());
        for second in 0..10 {
            let now = now + Duration::from_secs(second);
            pace.wait(now);
            pace.arrived(64 << 10, now + ms(1));
        }
        assert!(pace.is_fast());
    }

    #[test]
    fn who_stalls_is_late_soon_and_has_to_show_anew_that_it_is_fast() {
        let mut pace = paced(1 << 20, Duration::from_millis(10), Duration::from_secs(1));
        pace.restart();
        let now = Instant::now();
        pace.wait(now);
        assert_eq!(pace.late_at(now), now + GRACE);
        pace.arrived(FAST.try_into().expect("a small number"), now);
        pace.wait(now);
        assert!(pace.late_at(now) >= now + GRACE + Duration::from_millis(990));
        pace.distrust();
        assert!(!pace.is_fast());
    }
}
