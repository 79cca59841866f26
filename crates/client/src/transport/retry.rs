//! What is tried again, when, and how often.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// A server that asks for a longer wait is not waited for; a hostile one could otherwise park clients for years.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(2);

/// How often and how fast a failed request is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in a row without any progress before giving up.
    pub attempts: u32,
    /// Wait before the second try; doubles with each.
    pub first_delay: Duration,
    pub longest_delay: Duration,
}

impl Default for RetryPolicy {
    /// Nine waits of 0.2 s doubling to 10 s, 43 s in all at most: longer than a server takes to restart.
    fn default() -> Self {
        Self { attempts: 10, first_delay: Duration::from_millis(200), longest_delay: Duration::from_secs(10) }
    }
}

/// The waits of one piece of work.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: RetryPolicy,
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(policy: RetryPolicy) -> Self {
        Self { policy, failures: 0 }
    }

    /// How long to wait after one more failure; `None` when there were enough.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.failures += 1;
        if self.failures >= self.policy.attempts {
            return None;
        }
        let doubled = self.policy.first_delay.saturating_mul(1 << (self.failures - 1).min(16));
        let delay = doubled.min(self.policy.longest_delay);
        // Half of it by chance: clients that a restart cut off together must not come back together.
        let delay = delay.mul_f64(rand::random_range(0.5..=1.0));
        match asked {
            Some(asked) if asked > LONGEST_RETRY_AFTER => None,
            Some(asked) => Some(delay.max(asked)),
            None => Some(delay),
        }
    }

    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Something went forward: patience begins anew.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Whether the same request may succeed later. Of the 5xx not all: 500 is the server's mistake, and stays one.
pub(crate) const fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// The same of a store: S3 says 500 where others say 503, and wants to be asked again (S3 API, "Error responses").
pub(crate) fn is_passing_at_store(status: StatusCode) -> bool {
    is_passing(status) || status == StatusCode::INTERNAL_SERVER_ERROR
}

/// `Retry-After`, in seconds or as a date (RFC 9110 §10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some(date.signed_duration_since(DateTime::<Utc>::from(SystemTime::now())).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn headers(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))])
    }

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let mut backoff = Backoff::new(RetryPolicy::default());
        let waits: Vec<_> = std::iter::from_fn(|| backoff.next(None)).collect();
        assert_eq!(waits.len(), 9);
        for (index, wait) in waits.iter().enumerate() {
            let most = Duration::from_millis(200 << index).min(Duration::from_secs(10));
            assert!(*wait <= most && *wait >= most / 2, "{index}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.next(None).is_some());
    }

    #[test]
    fn a_server_may_ask_for_more_patience_but_not_for_any() {
        let mut backoff = Backoff::new(RetryPolicy::default());
        assert_eq!(backoff.next(Some(Duration::from_secs(20))), Some(Duration::from_secs(20)));
        assert_eq!(backoff.next(Some(Duration::from_hours(24))), None);
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(retry_after(&headers("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("Wed, 21 Oct 2015 07:28:00 GMT")), Some(Duration::ZERO));
        for ignored in ["", "soon", "-1", "1.5"] {
            assert_eq!(retry_after(&headers(ignored)), None, "{ignored}");
        }
    }
}
