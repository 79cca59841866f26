//! How many of a kind are under way at once. Always counted, so that a limit that is set counts what began before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::UNLIMITED;

#[derive(Debug)]
pub(super) struct Slots {
    taken: Arc<AtomicU64>,
    /// By all other replicas together, as far as they have told.
    taken_elsewhere: AtomicU64,
    most: AtomicU64,
}

/// One of the many that may be under way; free again when its last clone is dropped.
#[derive(Debug, Clone)]
pub struct Slot(#[expect(dead_code, reason = "held for its end")] Arc<Taken>);

#[derive(Debug)]
struct Taken(Arc<AtomicU64>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self { taken: Arc::default(), taken_elsewhere: AtomicU64::new(0), most: AtomicU64::new(UNLIMITED) }
    }
}

impl Slots {
    pub fn limit(&self, most: Option<u64>) {
        if most.is_none() {
            self.taken_elsewhere.store(0, Ordering::Relaxed);
        }
        self.most.store(most.unwrap_or(UNLIMITED), Ordering::Relaxed);
    }

    pub fn is_limited(&self) -> bool {
        self.most.load(Ordering::Relaxed) != UNLIMITED
    }

    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub fn heed(&self, taken_elsewhere: u64) {
        self.taken_elsewhere.store(taken_elsewhere, Ordering::Relaxed);
    }

    pub fn take(&self) -> Option<Slot> {
        let most = self.most.load(Ordering::Relaxed);
        let here = most.saturating_sub(self.taken_elsewhere.load(Ordering::Relaxed));
        let one_more = |taken: u64| (taken < here).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Slot(Arc::new(Taken(Arc::clone(&self.taken)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_after_its_last_holder() {
        let slots = Slots::default();
        let early = slots.take();
        slots.limit(Some(2));
        let late = slots.take();
        assert!(early.is_some() && late.is_some());
        assert!(slots.take().is_none(), "what began before the limit counts");
        let held = late.clone();
        drop(late);
        assert!(slots.take().is_none());
        drop(held);
        assert!(slots.take().is_some());
        assert_eq!(slots.taken(), 1);
    }

    #[test]
    fn what_others_have_taken_counts_while_there_is_a_limit() {
        let slots = Slots::default();
        slots.limit(Some(3));
        slots.heed(3);
        assert!(slots.take().is_none());
        slots.heed(2);
        let one = slots.take();
        assert!(one.is_some() && slots.take().is_none());
        slots.limit(None);
        assert!(slots.take().is_some());
    }

    #[test]
    fn many_at_once_never_take_more_than_there_are() {
        let slots = Slots::default();
        slots.limit(Some(5));
        let most = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| slots.take())).collect();
            let taken: Vec<_> =
                threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect();
            taken.len()
        });
        assert_eq!(most, 5);
        assert_eq!(slots.taken(), 0);
    }
}
