//! The time, injected: expiry and leases are decided by a clock that tests can turn.
//!
//! Replicas share a database and compare deadlines that others have written, so they share its clock as well: see
//! [`SharedClock`]. A machine whose own clock is minutes off decides no differently from the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// Where the time comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// This machine's.
    System,
    /// The database server's.
    Shared(Arc<SharedClock>),
    /// Microseconds since the epoch; moved by [`Clock::advance`] only.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands still at `start` until it is advanced.
    #[must_use]
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.timestamp_micros())))
    }

    /// The time now, in whole microseconds: what PostgreSQL keeps, so a value survives the round trip.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => {
                #[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
                let now = Utc::now();
                now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
            }
            Self::Shared(shared) => shared.at(Instant::now()),
            Self::Manual(micros) => time(micros.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; the others are nobody's to move.
    pub fn advance(&self, by: TimeDelta) {
        if let (Self::Manual(micros), Some(by)) = (self, by.num_microseconds()) {
            micros.fetch_add(by, Ordering::SeqCst);
        }
    }
}

/// What the database answered when it was asked for the time, and when by this process's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct ClockReading {
    pub asked: Instant,
    pub told: DateTime<Utc>,
    pub answered: Instant,
}

impl ClockReading {
    /// The longest that the answer can have been on its way.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.answered.saturating_duration_since(self.asked)
    }
}

/// The database's time, kept between two looks at it by this process's monotonic clock, which nobody sets.
#[derive(Debug)]
pub struct SharedClock {
    started: Instant,
    /// The database's time at `started`, in microseconds since the epoch.
    time_at_start: AtomicI64,
}

impl SharedClock {
    /// Off by at most half of the reading's round trip.
    #[must_use]
    pub fn new(reading: ClockReading) -> Self {
        let half = micros(reading.round_trip()) / 2;
        let time_at_start = AtomicI64::new(reading.told.timestamp_micros().saturating_add(half));
        Self { started: reading.answered, time_at_start }
    }

    /// Takes a later reading in and gives by how much that moved the clock.
    ///
    /// When the answer came, the database's time was what it had told, plus at most the round trip. A clock between the two
    /// may be right and stays; any other is moved to the nearer end. So a slow answer never makes a good clock worse.
    pub fn correct(&self, reading: ClockReading) -> TimeDelta {
        let (shown, told) = (self.at(reading.answered).timestamp_micros(), reading.told.timestamp_micros());
        let by = shown.clamp(told, told.saturating_add(micros(reading.round_trip()))) - shown;
        self.time_at_start.fetch_add(by, Ordering::SeqCst);
        TimeDelta::microseconds(by)
    }

    fn at(&self, moment: Instant) -> DateTime<Utc> {
        let since = micros(moment.saturating_duration_since(self.started));
        time(self.time_at_start.load(Ordering::SeqCst).saturating_add(since))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds of the database's time.
    fn told(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).expect("a time")
    }

    /// Asked so many milliseconds after `start`, answered so many later.
    fn reading(start: Instant, asked: u64, round_trip: u64, time: i64) -> ClockReading {
        let asked = start + Duration::from_millis(asked);
        ClockReading { asked, told: told(time), answered: asked + Duration::from_millis(round_trip) }
    }

    #[test]
    fn a_shared_clock_shows_the_databases_time_and_goes_on_by_itself() {
        let start = Instant::now();
        let clock = SharedClock::new(reading(start, 0, 10, 1_000_000));
        assert_eq!(clock.at(start + Duration::from_millis(10)), told(1_000_005));
        assert_eq!(clock.at(start + Duration::from_millis(3_010)), told(1_003_005));
    }

    #[test]
    fn a_slow_answer_moves_a_clock_only_where_it_contradicts_it() {
        let start = Instant::now();
        let clock = SharedClock::new(reading(start, 0, 0, 1_000_000));
        // At its answer, 4 s after the start, the database showed 1,000,900 to 1,004,900.
        assert_eq!(clock.correct(reading(start, 0, 4_000, 1_000_900)), TimeDelta::zero());
        assert_eq!(clock.at(start), told(1_000_000));
    }

    #[test]
    fn a_shared_clock_follows_a_database_that_was_set() {
        let start = Instant::now();
        let clock = SharedClock::new(reading(start, 0, 0, 1_000_000));
        // Set on by an hour, and looked at after 10 s.
        assert_eq!(clock.correct(reading(start, 10_000, 20, 4_610_000)), TimeDelta::milliseconds(3_599_980));
        assert_eq!(clock.at(start + Duration::from_millis(10_020)), told(4_610_000));
        // And back.
        assert_eq!(clock.correct(reading(start, 20_000, 20, 1_020_000)), TimeDelta::milliseconds(-3_599_980));
        assert_eq!(clock.at(start + Duration::from_millis(20_020)), told(1_020_020));
    }
}
