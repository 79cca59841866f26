//! How often each of many subjects may do something: a token bucket for each.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Subjects told apart at once, each some hundred bytes. Those beyond share one bucket.
const MOST_SUBJECTS: usize = 10_000;
const ALL_OTHERS: &str = "";
/// Between two searches for buckets that are full again, which look at all of them.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// The size of a bucket, and after which pause it gets its next token.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    pub burst: u32,
    pub pause: Duration,
}

impl Allowance {
    /// So many in a second, and as many at once.
    #[must_use]
    pub fn per_second(rate: u64) -> Self {
        let burst = u32::try_from(rate).unwrap_or(u32::MAX).max(1);
        Self { burst, pause: Duration::from_secs(1) / burst }
    }
}

/// The buckets of all subjects. An allowance goes with each call, so that one that changes forgets nothing.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    of: BTreeMap<String, Bucket>,
    swept_at: Option<Instant>,
}

#[derive(Debug)]
struct Bucket {
    /// When it has all of its tokens again.
    full_at: Instant,
    held_back: u64,
}

impl Throttle {
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Buckets { of: BTreeMap::new(), swept_at: None }))
    }

    /// Takes a token, and gives how many times there was none since the last one that was taken.
    ///
    /// # Errors
    /// Where there is none: how long until there is one.
    pub fn admit(&self, subject: &str, allowance: Allowance, now: Instant) -> Result<u64, Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !buckets.has_room_for(subject) && buckets.swept_at.is_none_or(|at| now >= at + SWEEP_PAUSE) {
            buckets.of.retain(|_, bucket| bucket.full_at > now);
            buckets.swept_at = Some(now);
        }
        let subject = if buckets.has_room_for(subject) { subject } else { ALL_OTHERS };
        let bucket = buckets.of.entry(subject.to_owned()).or_insert(Bucket { full_at: now, held_back: 0 });
        let full_at = bucket.full_at.max(now) + allowance.pause;
        let wait = full_at.duration_since(now).saturating_sub(allowance.pause * allowance.burst);
        if !wait.is_zero() {
            bucket.held_back += 1;
            return Err(wait);
        }
        bucket.full_at = full_at;
        Ok(std::mem::take(&mut bucket.held_back))
    }
}

impl Buckets {
    fn has_room_for(&self, subject: &str) -> bool {
        self.of.len() < MOST_SUBJECTS || self.of.contains_key(subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_gets_through_then_one_at_a_time_and_the_rest_is_counted() {
        let allowance = Allowance { burst: 3, pause: Duration::from_secs(10) };
        let (throttle, start) = (Throttle::new(), Instant::now());
        let admit = |subject: &str, seconds| {
            throttle.admit(subject, allowance, start + Duration::from_secs(seconds)).ok()
        };
        assert!((0..3).all(|_| admit("a", 0) == Some(0)));
        assert!((0..5).all(|_| admit("a", 1).is_none()));
        assert_eq!(admit("b", 1), Some(0), "each for itself");
        assert_eq!((admit("a", 11), admit("a", 12)), (Some(5), None));
        assert!((0..3).all(|_| admit("a", 1_000).is_some()));
        assert_eq!(admit("a", 1_000), None);
    }

    #[test]
    fn subjects_without_end_take_no_memory_without_end() {
        let allowance = Allowance { burst: 1, pause: Duration::from_secs(10) };
        let (throttle, now) = (Throttle::new(), Instant::now());
        let admit = |subject: &str, now| throttle.admit(subject, allowance, now);
        let admitted = (0..MOST_SUBJECTS + 500).filter(|n| admit(&n.to_string(), now).is_ok());
        assert_eq!(admitted.count(), MOST_SUBJECTS + 1);
        assert_eq!(admit("later", now + Duration::from_secs(20)), Ok(0));
    }

    #[test]
    fn the_wait_that_is_told_is_enough_and_nothing_shorter_is() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        let admit = |now| throttle.admit("a", Allowance::per_second(2), now);
        assert_eq!((admit(now), admit(now)), (Ok(0), Ok(0)));
        let wait = admit(now).expect_err("the bucket is empty");
        assert!(admit(now + wait - Duration::from_millis(1)).is_err());
        assert!(admit(now + wait).is_ok());
    }

    #[test]
    fn a_rate_lets_in_what_it_says_also_when_it_changes() {
        let (throttle, start) = (Throttle::new(), Instant::now());
        let hammer = |rate, from: u64| {
            let times = (0..10_000).map(|n| start + Duration::from_secs(from) + Duration::from_millis(n));
            times.filter(|now| throttle.admit("a", Allowance::per_second(rate), *now).is_ok()).count()
        };
        // A full bucket, and ten seconds.
        assert_eq!(hammer(10, 0), 109);
        // The bucket was empty.
        assert!((49..=50).contains(&hammer(5, 10)));
        assert!((99..=110).contains(&hammer(10, 20)));
        for rate in [0, 1, 1_000_000, u64::MAX] {
            assert!(throttle.admit(&rate.to_string(), Allowance::per_second(rate), start).is_ok());
        }
    }
}
