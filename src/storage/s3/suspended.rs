//! What the store was seen to do by the probe, and did not do when it was asked for it.
//!
//! Only a store that says that it does not know how, or whose answer is none, is distrusted. One that refuses a
//! request (a policy, an expired credential, this very object) or fails does what it was seen to do again next time:
//! this upload is proven another way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::S3;
use crate::log_text::chain;
use crate::storage::capability::{Capabilities, Capability};
use crate::storage::{Result, StorageError};

/// Long enough that uploads do not pay for the question again and again, short enough that a store that was only
/// being upgraded is used in full soon.
const DISTRUSTED_FOR: Duration = Duration::from_mins(10);

/// What is not asked for until a time.
#[derive(Debug, Default)]
pub(super) struct SuspendedCapabilities(Mutex<BTreeMap<Capability, (Instant, String)>>);

impl SuspendedCapabilities {
    fn add(&self, capability: Capability, reason: String, now: Instant) {
        let until = now + DISTRUSTED_FOR;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(capability, (until, reason));
    }

    /// What the probe saw without what is distrusted.
    pub fn apply(&self, mut seen: Arc<Capabilities>, now: Instant) -> Arc<Capabilities> {
        let mut distrusted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if distrusted.is_empty() {
            return seen;
        }
        distrusted.retain(|_, (until, _)| now < *until);
        for (capability, (_, reason)) in &*distrusted {
            Arc::make_mut(&mut seen).distrust(*capability, reason.clone());
        }
        seen
    }
}

impl S3 {
    /// Passes an outcome on. A store that turns out not to know how to do what it was seen to do is not asked for
    /// it for a while. Every failure is worth another way, whatever a refusal is otherwise taken for.
    pub(super) fn relying_on<T>(&self, capability: Capability, outcome: Result<T>) -> Result<T> {
        match outcome {
            Err(StorageError::Unsupported { action, source }) => {
                tracing::warn!(?capability, action, reason = %source, "the store does not do what the probe saw");
                self.distrusted.add(capability, source.to_string(), Instant::now());
                Err(StorageError::Unavailable { action, source })
            }
            Err(
                error @ (StorageError::Refused { .. }
                | StorageError::InvalidPart(_)
                | StorageError::TooLarge(_)
                | StorageError::ChecksumMismatch),
            ) => Err(StorageError::unavailable("do what the probe saw")(chain(&error))),
            outcome => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::capability::Answer;
    use super::*;

    #[test]
    fn what_the_store_did_not_do_is_asked_for_again_after_some_minutes() {
        let seen = Arc::new(Capabilities::new([
            (Capability::GateComputes, Answer::Yes),
            (Capability::CopyComputes, Answer::Yes),
        ]));
        let (distrusted, began) = (SuspendedCapabilities::default(), Instant::now());
        distrusted.add(Capability::GateComputes, "it answered nonsense".to_owned(), began);
        let now = distrusted.apply(Arc::clone(&seen), began);
        assert!(!now.has(Capability::GateComputes) && now.has(Capability::CopyComputes));
        assert_eq!(distrusted.apply(Arc::clone(&seen), began + DISTRUSTED_FOR), seen);
    }
}
