//! How often somebody asks: a bucket of tokens for each, as large as what comes in within a second.
//!
//! Every replica has a whole bucket and takes out of it what the others tell that they have let in; so it may go into
//! debt. In the long run all together let in what the limit says, however the requests are spread, and whoever keeps
//! within the limit is never refused for sending all of it to one replica.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// Users and addresses counted at once, each a few hundred bytes. Those beyond share one bucket.
const MOST_SUBJECTS: usize = 50_000;
const ALL_OTHERS: &str = "";
/// A bucket that long unused is full, and what other replicas said of it has been swept or counted.
const IDLE: Duration = Duration::from_secs(10);
/// Debt beyond this is forgiven, in seconds: replicas that could not hear of each other for a while must not shut
/// everybody out for as long.
const MOST_DEBT: f64 = 5.0;

#[derive(Debug, Default)]
pub(super) struct Rates(HashMap<String, Bucket>);

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
    used_at: Instant,
    /// Let in here, since the bucket was made.
    admitted: u64,
    /// As many of them as the others have been told of.
    told: u64,
    /// What each other replica had let in when it last told.
    heard: Vec<(Uuid, u64)>,
}

impl Bucket {
    fn full(rate: u64, now: Instant) -> Self {
        Self { tokens: float(rate), filled_at: now, used_at: now, admitted: 0, told: 0, heard: Vec::new() }
    }

    fn fill(&mut self, rate: u64, now: Instant) {
        let rate = float(rate);
        let since = now.duration_since(self.filled_at).as_secs_f64();
        self.tokens = since.mul_add(rate, self.tokens).min(rate);
        self.filled_at = now;
    }

    /// What `replica` has let in since it last told. One that is heard of for the first time may have counted for long.
    fn news(&mut self, replica: Uuid, admitted: u64, rate: u64) -> u64 {
        if let Some((_, heard)) = self.heard.iter_mut().find(|(known, _)| *known == replica) {
            let before = std::mem::replace(heard, admitted);
            // One that counts anew has forgotten what it told before.
            admitted.checked_sub(before).unwrap_or(admitted)
        } else {
            self.heard.push((replica, admitted));
            admitted.min(rate)
        }
    }
}

impl Rates {
    /// Lets a request in, or says when the next one may come.
    pub fn admit(&mut self, subject: &str, rate: u64, now: Instant) -> Result<(), Duration> {
        let is_known = self.0.contains_key(subject) || self.0.len() < MOST_SUBJECTS;
        let subject = if is_known { subject } else { ALL_OTHERS };
        if !self.0.contains_key(subject) {
            self.0.insert(subject.to_owned(), Bucket::full(rate, now));
        }
        let Some(bucket) = self.0.get_mut(subject) else { return Ok(()) };
        bucket.fill(rate, now);
        bucket.used_at = now;
        if bucket.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / float(rate)));
        }
        bucket.tokens -= 1.0;
        bucket.admitted += 1;
        Ok(())
    }

    /// What the others have to be told, and forgets whoever has been silent for long.
    pub fn news(&mut self, now: Instant) -> Vec<(String, u64)> {
        self.0.retain(|_, bucket| now.duration_since(bucket.used_at) < IDLE);
        let mut news: Vec<_> = self
            .0
            .iter_mut()
            .filter(|(_, bucket)| bucket.told < bucket.admitted)
            .map(|(subject, bucket)| {
                bucket.told = bucket.admitted;
                (subject.clone(), bucket.admitted)
            })
            .collect();
        news.sort_unstable();
        news
    }

    /// They could not be told: the next news has it.
    pub fn untold(&mut self, news: &[(String, u64)]) {
        for (subject, _) in news {
            if let Some(bucket) = self.0.get_mut(subject) {
                bucket.told = 0;
            }
        }
    }

    /// Takes out what other replicas have let in.
    pub fn heed(&mut self, others: Vec<(String, Uuid, u64)>, rate: u64, now: Instant) {
        for (subject, replica, admitted) in others {
            if !self.0.contains_key(&subject) && self.0.len() >= MOST_SUBJECTS {
                continue;
            }
            let bucket = self.0.entry(subject).or_insert_with(|| Bucket::full(rate, now));
            let news = bucket.news(replica, admitted, rate);
            if news > 0 {
                bucket.fill(rate, now);
                bucket.used_at = now;
                bucket.tokens = (bucket.tokens - float(news)).max(-MOST_DEBT * float(rate));
            }
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[expect(clippy::cast_precision_loss, reason = "a million at most")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 10;

    /// Sends `each` requests to every replica, ten times a second for so many seconds, while they tell each other
    /// every 400 ms; counts what gets in.
    fn hammered(replicas: usize, each: usize, seconds: u64) -> u64 {
        let start = Instant::now();
        let mut all: Vec<_> = (0..replicas).map(|_| (Uuid::new_v4(), Rates::default())).collect();
        let mut table: HashMap<Uuid, u64> = HashMap::new();
        let mut admitted = 0;
        for tick in 0..seconds * 10 {
            let now = start + Duration::from_millis(100 * tick);
            for (_, rates) in &mut all {
                admitted += (0..each).filter(|_| rates.admit("u", RATE, now).is_ok()).count() as u64;
            }
            for (index, (id, rates)) in all.iter_mut().enumerate() {
                if (tick + index as u64).is_multiple_of(4) {
                    table.extend(rates.news(now).into_iter().map(|(_, count)| (*id, count)));
                    let others = table.iter().filter(|(other, _)| *other != id);
                    let others = others.map(|(other, count)| ("u".to_owned(), *other, *count)).collect();
                    rates.heed(others, RATE, now);
                }
            }
        }
        admitted
    }

    #[test]
    fn replicas_together_let_in_what_the_limit_says() {
        for replicas in 1..=4 {
            let admitted = hammered(replicas, 20, 20);
            let most = RATE * (20 + replicas as u64);
            assert!((RATE * 19..=most).contains(&admitted), "{replicas} replicas let {admitted} in");
        }
    }

    #[test]
    fn whoever_keeps_within_the_limit_is_let_in_wherever_it_asks() {
        assert_eq!(hammered(1, 1, 20), 200);
        let (now, mut rates) = (Instant::now(), Rates::default());
        for second in 0..5 {
            let now = now + Duration::from_secs(second);
            assert!((0..RATE).all(|_| rates.admit("u", RATE, now).is_ok()), "a second's requests at once");
        }
    }

    #[test]
    fn the_wait_that_is_told_is_enough_and_others_are_not_held_up() {
        let (now, mut rates) = (Instant::now(), Rates::default());
        while rates.admit("a", 2, now).is_ok() {}
        let Err(wait) = rates.admit("a", 2, now) else { panic!("the bucket is empty") };
        assert!(rates.admit("b", 2, now).is_ok());
        assert!(rates.admit("a", 2, now + wait + Duration::from_millis(1)).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_the_silent_are_forgotten() {
        let (now, mut rates) = (Instant::now(), Rates::default());
        for subject in 0..MOST_SUBJECTS + 1_000 {
            let _ = rates.admit(&subject.to_string(), RATE, now);
        }
        assert!(rates.0.len() <= MOST_SUBJECTS + 1);
        assert!(rates.admit("another", RATE, now).is_err(), "those beyond share one bucket");
        assert!(rates.news(now + IDLE).is_empty());
        assert!(rates.0.is_empty());
    }

    #[test]
    fn a_replica_that_counts_anew_is_believed() {
        let (now, mut rates, other) = (Instant::now(), Rates::default(), Uuid::new_v4());
        for (admitted, left) in [(1_000, 0.0), (1_001, -1.0), (2, -3.0)] {
            rates.heed(vec![("u".to_owned(), other, admitted)], RATE, now);
            let tokens = rates.0["u"].tokens;
            assert!((tokens - left).abs() < 0.001, "{tokens}");
        }
    }
}
