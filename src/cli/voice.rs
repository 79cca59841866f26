//! How this process speaks, whatever prints: lines beside progress bars, or events for a script.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::MultiProgress;
use serde_json::json;

use crate::client::Error;
use crate::telemetry::chain;

/// How this process speaks: to one terminal, or to one script.
#[derive(Debug, Clone)]
pub(super) enum Voice {
    Plain,
    Silent,
    Events,
    Bars(MultiProgress),
}

static VOICE: Mutex<Voice> = Mutex::new(Voice::Plain);

impl Voice {
    /// From here on all that this process prints is printed so.
    pub fn take_over(self) {
        *VOICE.lock().unwrap_or_else(PoisonError::into_inner) = self;
    }

    fn now() -> Self {
        VOICE.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Writes what is to stay, above the bars if there are any.
pub(super) fn above_bars(write: impl FnOnce()) {
    match Voice::now() {
        Voice::Bars(bars) => bars.suspend(write),
        Voice::Plain | Voice::Silent | Voice::Events => write(),
    }
}

/// Says that a call is repeated, which is about no file or blob of its own.
pub(super) fn say_retry(error: &Error, after: Duration) {
    let (text, seconds) = (chain(error), after.as_secs_f64());
    match Voice::now() {
        Voice::Silent => {}
        Voice::Events => {
            say!("{}", json!({ "event": "retrying", "error": text, "after_seconds": seconds }));
        }
        Voice::Plain | Voice::Bars(_) => complain!("{text}; trying again in {seconds:.1} s"),
    }
}
