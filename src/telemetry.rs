//! Logs: to standard error, for people or for machines.

mod throttle;

use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use tokio::time::Instant;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{fmt, util::SubscriberInitExt};

pub use throttle::{Allowance, Throttle};

static LINES: Throttle = Throttle::new();
/// Lines of one kind that requests may cause: a burst shows what is wrong, and one each second that it still is.
const LINES_OF_A_KIND: Allowance = Allowance { burst: 20, pause: Duration::from_secs(1) };

/// How logs look: lines for people, or JSON for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Installs the logger for the whole process.
///
/// # Errors
///
/// Says what is wrong with the directives.
pub fn init(format: LogFormat, directives: &str) -> Result<(), String> {
    let parts: Vec<_> = directives.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let filter =
        Targets::from_str(&parts.join(",")).map_err(|error| format!("--log {directives}: {error}"))?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
        }
    };
    let installed = tracing_subscriber::registry().with(filter).with(lines).try_init();
    // Already installed by whoever embeds us: theirs stays.
    let _ = installed;
    Ok(())
}

/// Whether a line of this kind, of which requests can cause any number, is written; then how many were not since the
/// last one that was.
#[must_use]
pub fn line_of_many(kind: &str) -> Option<u64> {
    LINES.admit(kind, LINES_OF_A_KIND, Instant::now()).ok()
}
