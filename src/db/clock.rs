//! The clock that all replicas on one database share: the database's own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Db, DbError, Result};
use crate::domain::clock::{Clock, ClockReading, SharedClock};

/// The clock and not the transaction's begin.
const TIME: &str = "SELECT clock_timestamp()";

/// Of so many readings at the start the fastest is taken: the first one may have had to wait for a connection.
const FIRST_READINGS: usize = 3;
/// Longest round trip of the first reading that is relied on. Half of it is how far two replicas' clocks may be from
/// the database's: `service/upkeep/collect.rs` counts with that.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(5);

impl Db {
    /// The clock to decide by, on every replica of this database. All processes on an SQLite file are on one
    /// machine and have its clock.
    ///
    /// # Errors
    ///
    /// [`DbError::SlowClock`] where the database takes seconds to tell the time: nobody could say then what it is.
    pub async fn clock(&self) -> Result<Clock> {
        let Self::Postgres(pool) = self else { return Ok(Clock::System) };
        let mut best = read(pool).await?;
        for _ in 1..FIRST_READINGS {
            let reading = read(pool).await?;
            if reading.round_trip() < best.round_trip() {
                best = reading;
            }
        }
        if best.round_trip() > MAX_ROUND_TRIP {
            return Err(DbError::SlowClock(best.round_trip()));
        }
        Ok(Clock::Shared(Arc::new(SharedClock::new(best))))
    }

    /// Looks at the database's clock again; by how much `clock` was moved.
    pub async fn correct_clock(&self, clock: &Clock) -> Result<TimeDelta> {
        match (self, clock) {
            (Self::Postgres(pool), Clock::Shared(shared)) => Ok(shared.correct(read(pool).await?)),
            _ => Ok(TimeDelta::zero()),
        }
    }
}

async fn read(pool: &sqlx::PgPool) -> Result<ClockReading> {
    // Without the wait for a connection, which would count as the answer's way.
    let mut connection = pool.acquire().await?;
    let asked = Instant::now();
    let told: DateTime<Utc> = sqlx::query_scalar(TIME).fetch_one(&mut *connection).await?;
    Ok(ClockReading { asked, told, answered: Instant::now() })
}
