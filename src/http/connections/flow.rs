//! Progress: how fast bytes have to move before a sender or a reader counts as gone.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// As many bytes in one window are progress: whoever moves these is never cut, however long it takes. GPRS at its
/// worst carries 1 KiB a second: a line that bad may be silent for three quarters of every minute.
pub(super) const PROGRESS: u64 = 16 * 1024;

/// When bytes last moved on one connection, in either direction.
#[derive(Debug)]
pub struct TransferActivity {
    origin: Instant,
    /// Since the last progress.
    moved: AtomicU64,
    /// Milliseconds after `origin`.
    progressed: AtomicU64,
}

impl TransferActivity {
    pub fn new(now: Instant) -> Self {
        Self { origin: now, moved: AtomicU64::new(0), progressed: AtomicU64::new(0) }
    }

    pub fn moved(&self, bytes: usize) {
        if self.moved.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64 >= PROGRESS {
            self.restart(Instant::now());
        }
    }

    /// Counts anew from here.
    pub fn restart(&self, now: Instant) {
        let since = now.saturating_duration_since(self.origin).as_millis();
        self.moved.store(0, Ordering::Relaxed);
        self.progressed.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub fn progressed_at(&self) -> Instant {
        self.origin + Duration::from_millis(self.progressed.load(Ordering::Relaxed))
    }
}

/// What another side that keeps us waiting has left of its window. Only the time spent waiting for it counts: what this
/// server needs for itself is not its fault.
#[derive(Debug)]
struct Allowance {
    window: Duration,
    /// Since the last progress.
    waited: Duration,
    moved: u64,
}

/// Gives up on it once that is used up.
#[derive(Debug)]
pub(super) struct StallTimer {
    allowance: Allowance,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Allowance {
    const fn new(window: Duration) -> Self {
        Self { window, waited: Duration::ZERO, moved: 0 }
    }

    const fn left(&self) -> Duration {
        self.window.saturating_sub(self.waited)
    }

    fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    const fn moved(&mut self, bytes: usize) {
        self.moved += bytes as u64;
        if self.moved >= PROGRESS {
            *self = Self::new(self.window);
        }
    }
}

impl StallTimer {
    pub const fn new(window: Duration) -> Self {
        Self { allowance: Allowance::new(window), waiting_since: None, timer: None }
    }

    /// The other side has to move before anything goes on. Ready once it has had its window without progress.
    pub fn poll_exhausted(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.waiting_since.is_none() {
            let now = Instant::now();
            let end = now + self.allowance.left();
            self.waiting_since = Some(now);
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(end),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(end))),
            }
        }
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(context))
    }

    /// So many bytes have moved.
    pub fn moved(&mut self, bytes: usize) {
        if let Some(since) = self.waiting_since.take() {
            self.allowance.waited(since.elapsed());
        }
        self.allowance.moved(bytes);
    }

    /// The other side owes nothing.
    pub const fn restart(&mut self) {
        self.waiting_since = None;
        self.allowance = Allowance::new(self.allowance.window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(1);

    /// Whether so many bytes every so often are put up with for ten windows.
    fn endures(bytes: usize, pause: Duration) -> bool {
        let (mut allowance, mut time) = (Allowance::new(WINDOW), Duration::ZERO);
        while time < 10 * WINDOW {
            if pause >= allowance.left() {
                return false;
            }
            allowance.waited(pause);
            allowance.moved(bytes);
            time += pause;
        }
        true
    }

    #[test]
    fn a_slow_line_is_endured_and_a_dripping_or_silent_one_is_not() {
        assert!(endures(1024, Duration::from_secs(1)), "GPRS");
        assert!(endures(64 * 1024, Duration::from_secs(59)), "bursts with long silences");
        assert!(!endures(1, Duration::from_secs(1)));
        assert!(!endures(0, Duration::from_secs(1)));
        assert!(!endures(16 * 1024, Duration::from_secs(61)));
    }

    #[tokio::test]
    async fn what_this_server_needs_for_itself_is_not_counted() {
        let mut patience = StallTimer::new(WINDOW);
        patience.moved(1);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(patience.allowance.left(), WINDOW, "nobody was waited for");
        let exhausted = std::future::poll_fn(|context| patience.poll_exhausted(context));
        assert!(tokio::time::timeout(Duration::from_millis(20), exhausted).await.is_err());
        patience.moved(1);
        assert!(patience.allowance.left() + Duration::from_millis(20) <= WINDOW);
        patience.moved(16 * 1024);
        assert_eq!(patience.allowance.left(), WINDOW);
    }
}
