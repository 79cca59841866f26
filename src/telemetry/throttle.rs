//! What many can cause at will is written down as often as is of use, and the rest is counted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Subjects told apart at once, each some hundred bytes. Those beyond share what one may.
const MOST_SUBJECTS: usize = 10_000;
const ALL_OTHERS: &str = "";

/// Lets so many through at once for each subject, and one more after each pause.
#[derive(Debug)]
pub struct Throttle {
    burst: u32,
    pause: Duration,
    allowances: Mutex<Option<HashMap<String, Allowance>>>,
}

#[derive(Debug)]
struct Allowance {
    left: u32,
    earned_at: Instant,
    held_back: u64,
}

impl Throttle {
    #[must_use]
    pub const fn new(burst: u32, pause: Duration) -> Self {
        Self { burst, pause, allowances: Mutex::new(None) }
    }

    /// Whether one more may be written down, and then how many were held back since the last one that was.
    pub fn admit(&self, subject: &str, now: Instant) -> Option<u64> {
        let mut allowances = self.allowances.lock().unwrap_or_else(PoisonError::into_inner);
        let allowances = allowances.get_or_insert_default();
        if allowances.len() >= MOST_SUBJECTS && !allowances.contains_key(subject) {
            let idle = self.pause.saturating_mul(self.burst);
            allowances.retain(|_, allowance| now.duration_since(allowance.earned_at) < idle);
        }
        let has_room = allowances.len() < MOST_SUBJECTS || allowances.contains_key(subject);
        let subject = if has_room { subject } else { ALL_OTHERS };
        let full = || Allowance { left: self.burst, earned_at: now, held_back: 0 };
        let allowance = allowances.entry(subject.to_owned()).or_insert_with(full);
        let earned = now.duration_since(allowance.earned_at).as_nanos() / self.pause.as_nanos().max(1);
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            allowance.left = allowance.left.saturating_add(earned).min(self.burst);
            allowance.earned_at = now;
        }
        let Some(left) = allowance.left.checked_sub(1) else {
            allowance.held_back += 1;
            return None;
        };
        allowance.left = left;
        Some(std::mem::take(&mut allowance.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_gets_through_then_one_at_a_time_and_the_rest_is_counted() {
        let (throttle, start) = (Throttle::new(3, Duration::from_secs(10)), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!((0..3).all(|_| throttle.admit("a", at(0)) == Some(0)));
        assert!((0..5).all(|_| throttle.admit("a", at(1)).is_none()));
        assert_eq!(throttle.admit("b", at(1)), Some(0), "each for itself");
        assert_eq!((throttle.admit("a", at(11)), throttle.admit("a", at(12))), (Some(5), None));
        assert!((0..3).all(|_| throttle.admit("a", at(1_000)).is_some()));
        assert_eq!(throttle.admit("a", at(1_000)), None);
    }

    #[test]
    fn subjects_without_end_take_no_memory_without_end() {
        let (throttle, now) = (Throttle::new(1, Duration::from_secs(10)), Instant::now());
        let admitted = (0..MOST_SUBJECTS + 500).filter(|n| throttle.admit(&n.to_string(), now).is_some());
        assert_eq!(admitted.count(), MOST_SUBJECTS + 1);
        assert_eq!(throttle.admit("later", now + Duration::from_secs(20)), Some(0));
    }
}
