//! A limit on the bytes that one client sends and fetches in a second, however many bodies are under way.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What a timer that comes late may be behind, and makes up for.
const SLACK: Duration = Duration::from_millis(100);

/// Bytes in a second, shared by all that moves. Of what was not used no more than [`SLACK`] is saved up.
#[derive(Debug)]
pub(crate) struct RateLimit {
    bytes_per_second: u64,
    /// When the next byte may move.
    free_at: Mutex<Instant>,
}

impl RateLimit {
    /// At least one byte in a second.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free_at: Mutex::new(Instant::now()) }
    }

    /// Waits for the turn of so many bytes.
    pub async fn wait(&self, bytes: u64) {
        sleep_until(self.turn(bytes, Instant::now())).await;
    }

    /// When so many bytes may move.
    fn turn(&self, bytes: u64, now: Instant) -> Instant {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*free_at).max(now.checked_sub(SLACK).unwrap_or(now));
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_second);
        *free_at = turn + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX / 2));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bodies_together_are_as_fast_as_the_limit_and_next_to_nothing_is_saved_up() {
        let (limit, begun) = (RateLimit::new(1000), Instant::now());
        let last_of = |count, now| (0..count).map(|_| limit.turn(500, now)).last();
        // The last moves when its turn begins.
        let last = last_of(20, begun).expect("a turn");
        assert!(last.duration_since(begun).abs_diff(Duration::from_millis(9_500)) <= SLACK);
        let later = last + Duration::from_secs(100);
        assert_eq!(last_of(10, later), Some(later + Duration::from_millis(4_400)));
    }
}
