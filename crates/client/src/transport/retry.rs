//! Retries: which failures are tried again, when, how often, and what has to be done before. Every retry of the client goes
//! through [`Retry`], and is reported.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::error::{Error, Result};
use crate::progress::{Event, Progress};

/// A server that asks for a longer wait is not waited for; a hostile one could otherwise park clients for years.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(2);
/// Tries to connect before the server has ever answered: enough for one that is starting, short for a typing error.
const FIRST_CONTACT_ATTEMPTS: u32 = 3;
/// Signatures in a row that the store may refuse: one expires while it waits, a third one shows a wrong clock.
const MAX_REFUSED_SIGNATURES: u32 = 3;

/// How often and how fast a failed request is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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

/// What can help after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The same request, after a while.
    Again,
    /// The same bytes by a newly signed request.
    SignAnew,
    /// To ask how far the registry is, and to go on from there.
    AskOffset,
    /// All of the blob at once, and anew: one PUT instead of chunks that are not taken, an upload instead of a mount
    /// that is refused or of one that has ended.
    WholePut,
    /// Nothing that the client can do.
    Never,
}

/// A failed try. How long the other side asked to wait is in its error.
#[derive(Debug)]
pub(crate) struct Failure {
    pub error: Error,
    pub remedy: Remedy,
    /// Whether something went forward since the try before, so that patience begins anew.
    pub has_advanced: bool,
}

/// What is passed on by `?` is final: whoever gave it up has tried it often enough.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error, Remedy::Never)
    }
}

impl Failure {
    pub const fn new(error: Error, remedy: Remedy) -> Self {
        Self { error, remedy, has_advanced: false }
    }

    /// Of a request to a registry, and of anything else that has no remedy of its own.
    pub fn of(error: Error) -> Self {
        let remedy = if may_pass(&error) { Remedy::Again } else { Remedy::Never };
        Self::new(error, remedy)
    }

    /// Of a signed request to a store.
    pub fn at_store(error: Error) -> Self {
        let remedy = match &error {
            Error::StoreRefused(refusal) => match (refusal.status, refusal.code.as_str()) {
                // S3 uses 400 for a body that came too slowly and for credentials that ran out under the signature.
                (StatusCode::BAD_REQUEST, "RequestTimeout") => Remedy::Again,
                (StatusCode::BAD_REQUEST, "ExpiredToken")
                | (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE, _) => Remedy::SignAnew,
                (status, _) if is_passing_at_store(status) => Remedy::Again,
                _ => Remedy::Never,
            },
            // A store that refuses early may close before its 403 can be read.
            error if may_pass(error) => Remedy::SignAnew,
            _ => Remedy::Never,
        };
        Self::new(error, remedy)
    }

    /// Of a chunk of an upload.
    pub fn of_chunk(error: Error) -> Self {
        let remedy = match &error {
            Error::Refused(refusal) => match refusal.status {
                StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PAYLOAD_TOO_LARGE => Remedy::AskOffset,
                StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Remedy::WholePut,
                // Google's has no word for it. If it meant something else, the whole blob is refused as well.
                StatusCode::BAD_REQUEST if !refusal.code.starts_with("BLOB_UPLOAD_") => Remedy::WholePut,
                _ if refusal.code == "UNSUPPORTED" => Remedy::WholePut,
                // What a registry makes of a request that a broken connection cut off: it is asked how far it came.
                StatusCode::NOT_FOUND | StatusCode::GONE => Remedy::AskOffset,
                status if is_passing(status) => Remedy::AskOffset,
                _ => Remedy::Never,
            },
            error if may_pass(error) => Remedy::AskOffset,
            _ => Remedy::Never,
        };
        Self::new(error, remedy)
    }

    /// Of a mount. It is refused in many words, also by those that should begin an upload instead.
    pub fn of_mount(error: Error) -> Self {
        let is_refused = matches!(error, Error::Refused(_) | Error::Unauthorized { .. });
        // What passes was waited out.
        let remedy = if is_refused && !may_pass(&error) { Remedy::WholePut } else { Remedy::Never };
        Self::new(error, remedy)
    }

    /// Whether what a signed URL leads to is not there any more.
    pub fn is_gone(&self) -> bool {
        self.remedy == Remedy::SignAnew && has_gone(&self.error)
    }

    fn is_refused_signature(&self) -> bool {
        self.remedy == Remedy::SignAnew && matches!(self.error, Error::StoreRefused(_)) && !self.is_gone()
    }
}

fn has_gone(error: &Error) -> bool {
    error.refusal().is_some_and(|refusal| matches!(refusal.status, StatusCode::NOT_FOUND | StatusCode::GONE))
}

/// The tries of one piece of work.
#[derive(Debug)]
pub(crate) struct Retry<'a> {
    /// Whether the server has answered yet.
    has_answered: &'a AtomicBool,
    progress: &'a Progress,
    backoff: Backoff,
    refused_signatures: u32,
}

impl<'a> Retry<'a> {
    pub const fn new(policy: RetryPolicy, has_answered: &'a AtomicBool, progress: &'a Progress) -> Self {
        Self { has_answered, progress, backoff: Backoff::new(policy), refused_signatures: 0 }
    }

    /// Waits before the next try, shows it, and gives what has to be done in it.
    ///
    /// # Errors
    ///
    /// The failure's own where nothing helps, or nothing has for as often as the policy allows.
    pub async fn after(&mut self, failure: Failure) -> Result<Remedy> {
        let Some(after) = self.wait(&failure) else { return Err(failure.error) };
        tracing::debug!(error = %failure.error, remedy = ?failure.remedy, ?after, "trying again");
        self.progress.report(Event::Retrying { error: &failure.error, after });
        tokio::time::sleep(after).await;
        Ok(failure.remedy)
    }

    fn wait(&mut self, failure: &Failure) -> Option<Duration> {
        if failure.has_advanced {
            self.backoff.reset();
            self.refused_signatures = 0;
        }
        match failure.remedy {
            Remedy::Never => return None,
            // Another way, which is gone once, and nothing that time changes.
            Remedy::WholePut => return Some(Duration::ZERO),
            Remedy::Again | Remedy::SignAnew | Remedy::AskOffset => {}
        }
        if failure.is_refused_signature() {
            self.refused_signatures += 1;
            if self.refused_signatures > MAX_REFUSED_SIGNATURES {
                return None;
            }
        }
        let wait = self.backoff.next(failure.error.retry_after())?;
        let is_known = self.has_answered.load(Ordering::Relaxed);
        (is_known || self.backoff.failures < FIRST_CONTACT_ATTEMPTS).then_some(wait)
    }
}

/// The waits of one piece of work.
#[derive(Debug)]
struct Backoff {
    policy: RetryPolicy,
    failures: u32,
}

impl Backoff {
    const fn new(policy: RetryPolicy) -> Self {
        Self { policy, failures: 0 }
    }

    /// How long to wait after one more failure; `None` when there were enough.
    fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
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

    const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Whether the same request may succeed later.
pub(crate) fn may_pass(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. }
        | Error::Broken { .. }
        | Error::Stalled { .. }
        | Error::Truncated { .. } => true,
        Error::Refused(refusal) => is_passing(refusal.status),
        // Of the store that another registry's blob comes from: a new try gets a new signature.
        Error::StoreRefused(refusal) => {
            is_passing_at_store(refusal.status) || refusal.status == StatusCode::FORBIDDEN
        }
        _ => false,
    }
}

/// Whether an answer is a passing failure. Of the 5xx not all are: 500 is the server's mistake, and stays one.
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

/// Whether a store's answer is one: S3 says 500 where others say 503, and wants to be asked again (S3 API, "Error
/// responses").
fn is_passing_at_store(status: StatusCode) -> bool {
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
