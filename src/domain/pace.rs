//! How fast a store was seen to copy and to be read, and what that says of the next copy and the next proof.
//!
//! Measured as it happens, kept beside what the probe saw. Rates are those of one request, or of one read-back.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::part::MAX_PART_SIZE;

/// Copies that are not made shorter, in bytes: below this a copy's time is that of a request.
pub const SMALLEST_COPY: u64 = 8 * 1024 * 1024;
/// By how much less is tried after a copy that took too long: from 5 GiB to the smallest in three tries.
const SMALLER: u64 = 16;
/// Uploads whose proof is chosen by rates, in bytes: a smaller one is proven within a second either way.
const CHOSEN_FROM: u64 = 64 * 1024 * 1024;
/// Of the time that a copy is given, how much it may be expected to take: rates vary by this factor.
const MARGIN: u64 = 2;
/// How long a size that took too long is not tried again: until the next day a store is seldom another one.
const REMEMBERED: TimeDelta = TimeDelta::hours(6);
/// The same where not even the smallest copy was answered: an outage, most likely.
const REMEMBERED_OUTAGE: TimeDelta = TimeDelta::minutes(10);
/// Of a new average, the share of the newest rate is one in this.
const DECAY: u64 = 4;

/// What takes time at a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A copy that computes a SHA-256.
    Proving,
    /// A copy that computes nothing.
    Copying,
    /// A read-back.
    Reading,
}

/// What was seen, in bytes a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pace {
    pub proving: Option<u64>,
    pub copying: Option<u64>,
    pub reading: Option<u64>,
    pub largest: Option<CopySizeLimit>,
}

/// The largest copy that is tried, after a larger one took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopySizeLimit {
    /// 0 where no copy is tried at all.
    pub bytes: u64,
    pub until: DateTime<Utc>,
}

impl Pace {
    /// Takes a measurement in. One of few bytes says nothing about the rate.
    pub fn record(&mut self, work: Work, bytes: u64, took: Duration) {
        if bytes < SMALLEST_COPY {
            return;
        }
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = bytes.saturating_mul(1000) / millis;
        let average = match work {
            Work::Proving => &mut self.proving,
            Work::Copying => &mut self.copying,
            Work::Reading => &mut self.reading,
        };
        *average = Some(average.map_or(rate, |old| (old * (DECAY - 1) + rate) / DECAY).max(1));
    }

    /// A copy of this many bytes took longer than anybody waits.
    pub fn took_too_long(&mut self, bytes: u64, now: DateTime<Utc>) {
        let known = self.largest.filter(|known| now < known.until);
        // One small copy that stalled is no reason to make none, which costs this server every byte.
        let is_smallest = known.is_some_and(|known| known.bytes <= SMALLEST_COPY);
        let bytes = Self::smaller(bytes).unwrap_or(if is_smallest { 0 } else { SMALLEST_COPY });
        let remembered = if bytes == 0 { REMEMBERED_OUTAGE } else { REMEMBERED };
        match known {
            Some(known) if known.bytes <= bytes => {}
            _ => self.largest = Some(CopySizeLimit { bytes, until: now + remembered }),
        }
    }

    /// The size to try after a copy of this many bytes failed; none where it was as small as copies get.
    #[must_use]
    pub fn smaller(bytes: u64) -> Option<u64> {
        (bytes > SMALLEST_COPY).then(|| (bytes / SMALLER).max(SMALLEST_COPY))
    }

    /// The largest copy, in bytes, that ends within `time` by all that was seen; 0 where none does.
    #[must_use]
    pub fn largest_copy(&self, work: Work, time: Duration, now: DateTime<Utc>) -> u64 {
        let rate = if work == Work::Proving { self.proving } else { self.copying };
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let fits = rate
            .map_or(MAX_PART_SIZE, |rate| (rate.saturating_mul(millis) / 1000 / MARGIN).max(SMALLEST_COPY));
        let tried =
            self.largest.filter(|largest| now < largest.until).map_or(MAX_PART_SIZE, |largest| largest.bytes);
        fits.min(tried).min(MAX_PART_SIZE)
    }

    /// Whether reading a blob of this size proves it sooner than a copy does. What was never tried is, once.
    #[must_use]
    pub fn reads_sooner(&self, size: u64) -> bool {
        size >= CHOSEN_FROM
            && match (self.proving, self.reading) {
                (Some(proving), Some(reading)) => reading > proving,
                (Some(_), None) => true,
                (None, _) => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).expect("a time")
    }

    #[test]
    fn copies_get_smaller_until_they_fit_and_grow_again_when_it_was_long_ago() {
        let (mut pace, time) = (Pace::default(), Duration::from_mins(2));
        assert_eq!(pace.largest_copy(Work::Copying, time, now()), MAX_PART_SIZE);
        pace.took_too_long(3072 * MIB, now());
        assert_eq!(pace.largest_copy(Work::Copying, time, now()), 192 * MIB);
        pace.took_too_long(192 * MIB, now());
        assert_eq!(pace.largest_copy(Work::Proving, time, now()), 12 * MIB);
        // A larger one that was begun before says nothing new.
        pace.took_too_long(3072 * MIB, now());
        assert_eq!(pace.largest_copy(Work::Proving, time, now()), 12 * MIB);
        pace.took_too_long(12 * MIB, now());
        pace.took_too_long(8 * MIB, now());
        assert_eq!(pace.largest_copy(Work::Proving, time, now()), 0);
        assert_eq!(pace.largest_copy(Work::Proving, time, now() + REMEMBERED_OUTAGE), MAX_PART_SIZE);
    }

    #[test]
    fn copies_fit_the_time_at_the_rate_that_was_seen() {
        let mut pace = Pace::default();
        pace.record(Work::Copying, 100 * MIB, Duration::from_secs(10));
        assert_eq!(pace.largest_copy(Work::Copying, Duration::from_mins(1), now()), 300 * MIB);
        assert_eq!(pace.largest_copy(Work::Proving, Duration::from_mins(1), now()), MAX_PART_SIZE);
        pace.record(Work::Copying, 8 * MIB, Duration::from_hours(1));
        pace.record(Work::Copying, 1, Duration::from_hours(1));
        assert_eq!(pace.copying, Some((10 * MIB * 3 + 8 * MIB / 3600) / 4));
    }

    #[test]
    fn what_proves_sooner_is_chosen_once_both_were_seen() {
        let mut pace = Pace::default();
        assert!(!pace.reads_sooner(CHOSEN_FROM), "nothing was seen");
        pace.record(Work::Proving, CHOSEN_FROM, Duration::from_secs(2));
        assert!(pace.reads_sooner(CHOSEN_FROM), "tried once");
        assert!(!pace.reads_sooner(CHOSEN_FROM - 1), "soon enough either way");
        pace.record(Work::Reading, CHOSEN_FROM, Duration::from_secs(3));
        assert!(!pace.reads_sooner(CHOSEN_FROM));
        for _ in 0..8 {
            pace.record(Work::Reading, CHOSEN_FROM, Duration::from_secs(1));
        }
        assert!(pace.reads_sooner(CHOSEN_FROM));
    }
}
