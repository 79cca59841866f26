//! How many of a kind are under way at once. Always counted, so that a limit that is set counts what began before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(super) struct Slots(Arc<AtomicU64>);

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

impl Slots {
    /// One more, where that is at most so many.
    pub fn take(&self, most: u64) -> Option<Slot> {
        let one_more = |taken: u64| (taken < most).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Slot(Arc::new(Taken(Arc::clone(&self.0)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_after_its_last_holder() {
        let slots = Slots::default();
        let (early, late) = (slots.take(u64::MAX), slots.take(2));
        assert!(early.is_some() && late.is_some());
        assert!(slots.take(2).is_none(), "what began before the limit counts");
        let held = late.clone();
        drop(late);
        assert!(slots.take(2).is_none());
        drop(held);
        let again = slots.take(2);
        assert!(again.is_some() && slots.take(1).is_none(), "a limit that shrinks ends nothing");
    }

    #[test]
    fn many_at_once_never_take_more_than_there_are() {
        let slots = Slots::default();
        let most = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| slots.take(5))).collect();
            let taken: Vec<_> =
                threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect();
            taken.len()
        });
        assert_eq!(most, 5);
        assert!(slots.take(1).is_some());
    }
}
