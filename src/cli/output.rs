//! How all that this process prints is shown: as lines above progress bars, or as events for a script.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::MultiProgress;
use overside_client::Error;
use serde::Serialize;
use serde_json::json;

use crate::log_text::chain;

/// Who is listening: a terminal with or without bars, nobody, or a script.
#[derive(Debug, Clone)]
pub(super) enum OutputMode {
    Plain,
    Silent,
    Events,
    Bars(MultiProgress),
}

/// How a command prints its result.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct ResultFormat {
    /// Print the result as JSON, on one line
    #[arg(long)]
    pub json: bool,
}

impl ResultFormat {
    /// Prints a result for a program, or has it printed in words.
    ///
    /// # Errors
    ///
    /// What serde says of a result that is no JSON.
    pub fn say(self, result: &impl Serialize, in_words: impl FnOnce()) -> anyhow::Result<()> {
        if self.json {
            say!("{}", serde_json::to_string(result)?);
        } else {
            in_words();
        }
        Ok(())
    }
}

static MODE: Mutex<OutputMode> = Mutex::new(OutputMode::Plain);

impl OutputMode {
    /// Makes this the mode of the whole process.
    pub fn install(self) {
        *MODE.lock().unwrap_or_else(PoisonError::into_inner) = self;
    }

    fn current() -> Self {
        MODE.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Writes what is to stay, above the bars if there are any.
pub(super) fn above_bars(write: impl FnOnce()) {
    match OutputMode::current() {
        OutputMode::Bars(bars) => bars.suspend(write),
        OutputMode::Plain | OutputMode::Silent | OutputMode::Events => write(),
    }
}

/// Says that a call is repeated, which is about no file or blob of its own.
pub(super) fn say_retry(error: &Error, after: Duration) {
    let (text, seconds) = (chain(error), after.as_secs_f64());
    match OutputMode::current() {
        OutputMode::Silent => {}
        OutputMode::Events => {
            say!("{}", json!({ "event": "retrying", "error": text, "after_seconds": seconds }));
        }
        OutputMode::Plain | OutputMode::Bars(_) => complain!("{text}; {}", trying_again(after)),
    }
}

/// What comes after a failure that is no end.
pub(super) fn trying_again(after: Duration) -> String {
    if after.is_zero() {
        return "trying another way".to_owned();
    }
    format!("trying again in {:.1} s", after.as_secs_f64())
}
