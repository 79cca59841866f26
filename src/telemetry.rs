//! Logs: to standard error, for people or for machines.

use std::error::Error;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Installs the logger for the whole process; says what is wrong with the directives.
pub fn init(config: &LogConfig, default: &str) -> Result<(), String> {
    let directives = config.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(directives).map_err(|error| format!("--log {directives}: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match config.log_format {
        LogFormat::Text => {
            builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).finish().try_init()
        }
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .finish()
            .try_init(),
    };
    // Already installed by whoever embeds us: theirs stays.
    let _ = installed;
    Ok(())
}

/// An error with all its causes, for the log.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
