//! Sign-ins that are limited, on all replicas alike: each is counted before what it brings is looked at, so that of a
//! thousand guesses sent at once no more are tried than of a thousand sent one after the other.

use std::time::Duration;

use crate::db::text::{Text, both, now_ms};
use crate::db::{Db, Result, in_transaction, on_pool};

/// How long the next one waits after the last, in milliseconds: nothing for the first `$2`, then a second, and twice as
/// long after each, up to five minutes.
macro_rules! wait_ms {
    () => {
        "(CASE WHEN sign_in_attempt.attempts < $2 THEN 0
            WHEN sign_in_attempt.attempts - $2 > 8 THEN 300000
            ELSE CAST(1000 AS BIGINT) << CAST(sign_in_attempt.attempts - $2 AS INTEGER) END)"
    };
}

/// After so long without an attempt all before are forgotten: 30 minutes.
macro_rules! kept_ms {
    () => {
        "1800000"
    };
}

macro_rules! count {
    ($database:ident) => {
        concat!(
            "INSERT INTO sign_in_attempt (subject, attempts, last_at_ms) VALUES ($1, 1, ",
            now_ms!($database),
            ") ON CONFLICT (subject) DO UPDATE SET last_at_ms = excluded.last_at_ms,
                attempts = CASE WHEN sign_in_attempt.last_at_ms <= excluded.last_at_ms - ",
            kept_ms!(),
            " THEN 1 ELSE sign_in_attempt.attempts + 1 END
            WHERE sign_in_attempt.attempts < $2 OR sign_in_attempt.last_at_ms <= excluded.last_at_ms - ",
            wait_ms!()
        )
    };
}

macro_rules! wait {
    ($database:ident) => {
        concat!(
            "SELECT sign_in_attempt.last_at_ms + ",
            wait_ms!(),
            " - ",
            now_ms!($database),
            " FROM sign_in_attempt WHERE subject = $1"
        )
    };
}

macro_rules! forget {
    ($database:ident) => {
        concat!("DELETE FROM sign_in_attempt WHERE last_at_ms <= ", now_ms!($database), " - ", kept_ms!())
    };
}

/// Whoever is one too many changes nothing: guessing on does not keep the next one waiting for longer.
const COUNT: Text = both!(count);
const WAIT: Text = both!(wait);
const FORGET: Text = both!(forget);
const CLEAR: &str = "DELETE FROM sign_in_attempt WHERE subject = $1";
const GIVE_BACK: &str =
    "UPDATE sign_in_attempt SET attempts = attempts - 1 WHERE subject = $1 AND attempts > 0";

impl Db {
    /// Counts one more attempt for each subject, which has so many for nothing. Where that is one too many for any of
    /// them none is counted, and the answer is how long to wait. Subjects come in one order, the widest first: whoever
    /// counts at once must not wait crosswise.
    pub async fn count_sign_in(&self, subjects: &[(String, i64)]) -> Result<Option<Duration>> {
        let (count, wait, subjects) = (self.text(COUNT), self.text(WAIT), subjects.to_vec());
        in_transaction!(self, transaction => {
            for (subject, free) in &subjects {
                let counted = sqlx::query(count).bind(subject).bind(free).execute(&mut *transaction).await?;
                if counted.rows_affected() == 0 {
                    let wait = sqlx::query_scalar(wait).bind(subject).bind(free);
                    let wait: Option<i64> = wait.fetch_optional(&mut *transaction).await?;
                    transaction.rollback().await?;
                    let wait = u64::try_from(wait.unwrap_or_default()).unwrap_or_default();
                    return Ok(Some(Duration::from_millis(wait)));
                }
            }
            None
        })
    }

    /// The attempt was none that failed. What was counted of the last subject, which is about one name, is forgotten; the
    /// others only get it back.
    pub async fn give_back_sign_in(&self, subjects: &[(String, i64)]) -> Result<()> {
        let Some(((name, _), wider)) = subjects.split_last() else { return Ok(()) };
        for (subject, _) in wider {
            on_pool!(self, pool => sqlx::query(GIVE_BACK).bind(subject).execute(pool).await.map(drop))?;
        }
        self.forget_sign_ins_of(name).await
    }

    pub async fn forget_sign_ins_of(&self, subject: &str) -> Result<()> {
        on_pool!(self, pool => sqlx::query(CLEAR).bind(subject).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Forgets what counts no more.
    pub async fn forget_sign_ins(&self) -> Result<()> {
        let sql = self.text(FORGET);
        on_pool!(self, pool => sqlx::query(sql).execute(pool).await.map(drop))?;
        Ok(())
    }
}
