//! The keys of one issuer. Whoever sends tokens with made-up keys must not have us ask without end, nor have those wait
//! whose keys are known: one request at a time goes to the issuer, for all who wait for it; one that has failed is
//! remembered, and not repeated before a pause; and where the key is known, keys are renewed behind the answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use tokio::time::Instant;

use super::{Issuer, OidcError};
use crate::log_text::plain;

/// How old keys may be before whoever needs one waits for new ones: so long one that its issuer has taken back is still
/// good.
const KEYS_KEPT: Duration = Duration::from_hours(1);
/// From this age on they are renewed behind the answers: where tokens keep coming nobody ever waits.
const RENEWED_AT: Duration = Duration::from_mins(45);
/// The longest that somebody waits whose key is known, where no token had come for an hour.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two requests to an issuer for a key that is not known, and after one that failed for the first time.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause, where they fail again and again.
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// A request to the issuer under way, which ends when its outcome has been noted.
type SharedRequest = Shared<BoxFuture<'static, ()>>;

#[derive(Debug, Default)]
pub(super) struct Keys(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    fetched: Option<(JwkSet, Instant)>,
    /// Since the last request that succeeded.
    failure: Option<Failure>,
    shared_request: Option<SharedRequest>,
}

#[derive(Debug)]
struct Failure {
    at: Instant,
    pause: Duration,
    reason: String,
}

/// What has to be done before a key can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyStep {
    None,
    /// The issuer is asked, and nobody waits for that.
    Behind,
    /// The answer waits for the issuer's, so long at most.
    Ahead(Duration),
}

impl State {
    fn find(&self, id: Option<&str>) -> Option<Jwk> {
        find(&self.fetched.as_ref()?.0, id)
    }

    fn key_step(&self, is_known: bool, now: Instant) -> KeyStep {
        let age = self.fetched.as_ref().map_or(Duration::MAX, |(_, at)| now.duration_since(*at));
        let is_pausing = self.failure.as_ref().is_some_and(|failure| now < failure.at + failure.pause);
        let fresh = if is_known { RENEWED_AT } else { LOOK_PAUSE };
        if age < fresh || is_pausing {
            return KeyStep::None;
        }
        if !is_known {
            return KeyStep::Ahead(Duration::MAX);
        }
        // While an issuer is away what is known of it stays good.
        let is_waiting_worth_it = age >= KEYS_KEPT && self.failure.is_none();
        if is_waiting_worth_it { KeyStep::Ahead(PATIENCE) } else { KeyStep::Behind }
    }
}

impl Keys {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub fn set(&self, set: JwkSet) {
        self.state().fetched = Some((set, Instant::now()));
    }
}

impl Issuer {
    /// The key of this name, or the only one there is where a token names none.
    pub(super) async fn key(self: &Arc<Self>, id: Option<&str>) -> Result<Jwk, OidcError> {
        let (found, key_step) = {
            let state = self.keys.state();
            let found = state.find(id);
            let key_step = state.key_step(found.is_some(), Instant::now());
            (found, key_step)
        };
        match key_step {
            KeyStep::None => {}
            KeyStep::Behind => drop(self.shared_request()),
            // Whoever gives up waiting leaves it under way.
            KeyStep::Ahead(patience) => drop(tokio::time::timeout(patience, self.shared_request()).await),
        }
        let state = self.keys.state();
        match (state.find(id).or(found), &state.failure) {
            (Some(key), _) => Ok(key),
            // It may be of a key that the issuer has made meanwhile.
            (None, Some(failure)) => Err(OidcError::Unreachable {
                issuer: self.config.issuer.clone(),
                reason: failure.reason.clone(),
            }),
            (None, None) => Err(OidcError::UnknownKey),
        }
    }

    /// The request that is under way, or a new one: in a task of its own, so that a client that hangs up leaves its
    /// outcome to all others.
    fn shared_request(self: &Arc<Self>) -> SharedRequest {
        let mut state = self.keys.state();
        if let Some(shared_request) = &state.shared_request {
            return shared_request.clone();
        }
        let issuer = Arc::clone(self);
        let task = tokio::spawn(async move {
            let outcome = issuer.fetch().await;
            issuer.note(outcome);
        });
        let shared_request = task.map(drop).boxed().shared();
        state.shared_request = Some(shared_request.clone());
        shared_request
    }

    fn note(&self, outcome: Result<JwkSet, String>) {
        let mut state = self.keys.state();
        state.shared_request = None;
        let now = Instant::now();
        match outcome {
            Ok(set) => {
                state.fetched = Some((set, now));
                state.failure = None;
            }
            Err(reason) => {
                let before = state.failure.as_ref().map(|failure| failure.pause);
                let pause = before.map_or(LOOK_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
                let (issuer, reason) = (&self.config.issuer, plain(&reason).into_owned());
                tracing::warn!(issuer, reason, pause = pause.as_secs(), "an issuer's keys cannot be had");
                state.failure = Some(Failure { at: now, pause, reason });
            }
        }
    }
}

fn find(set: &JwkSet, id: Option<&str>) -> Option<Jwk> {
    let signing =
        |key: &&Jwk| key.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let mut keys = set.keys.iter().filter(signing);
    match id {
        Some(id) => keys.find(|key| key.common.key_id.as_deref() == Some(id)).cloned(),
        None => keys.next().filter(|_| keys.next().is_none()).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(fetched: Option<u64>, failed: Option<(u64, u64)>, now: Instant) -> State {
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap_or(now);
        State {
            fetched: fetched.map(|seconds| (JwkSet { keys: Vec::new() }, ago(seconds))),
            failure: failed.map(|(seconds, pause)| Failure {
                at: ago(seconds),
                pause: Duration::from_secs(pause),
                reason: String::new(),
            }),
            shared_request: None,
        }
    }

    #[test]
    fn whose_key_is_known_waits_for_an_issuer_at_most_once_and_shortly() {
        // As if the machine had been up for a day: an instant cannot lie before that.
        let now = Instant::now() + Duration::from_hours(24);
        let key_step = |fetched, failed| state(Some(fetched), failed, now).key_step(true, now);
        assert_eq!(key_step(0, None), KeyStep::None);
        assert_eq!(key_step(2_699, Some((1, 5))), KeyStep::None);
        assert_eq!(key_step(2_700, None), KeyStep::Behind);
        assert_eq!(key_step(3_600, None), KeyStep::Ahead(PATIENCE));
        assert_eq!(key_step(3_600, Some((1, 5))), KeyStep::None);
        assert_eq!(key_step(90_000, Some((9, 5))), KeyStep::Behind);
    }

    #[test]
    fn an_unknown_key_is_asked_for_once_in_a_pause() {
        let now = Instant::now() + Duration::from_hours(24);
        let key_step = |fetched, failed| state(fetched, failed, now).key_step(false, now);
        assert_eq!(key_step(None, None), KeyStep::Ahead(Duration::MAX));
        assert_eq!(key_step(Some(4), None), KeyStep::None);
        assert_eq!(key_step(Some(5), None), KeyStep::Ahead(Duration::MAX));
        assert_eq!(key_step(None, Some((4, 5))), KeyStep::None);
        assert_eq!(key_step(None, Some((5, 5))), KeyStep::Ahead(Duration::MAX));
        assert_eq!(key_step(Some(600), Some((30, 40))), KeyStep::None);
    }
}
