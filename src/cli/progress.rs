//! What a person sees of long work: a bar on a terminal, a few lines in a log, nothing where a script listens.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::client::{Event, Progress, Stage};
use crate::domain::upload::UploadId;
use crate::telemetry::chain;

/// Often enough for a spinner to look alive.
const TICK: Duration = Duration::from_millis(100);
/// In a log one line in so much time: short work prints none, and an hour of it some hundreds.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
const BAR: &str = "{msg:>11} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const SPINNER: &str = "{msg:>11} {spinner} {elapsed}";

/// How much to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct OutputArgs {
    /// Print one JSON object instead of text, and no progress
    #[arg(long)]
    pub json: bool,
    /// Print no progress, only the result
    #[arg(long, short)]
    pub quiet: bool,
}

/// Shows what the client library reports, on standard error.
#[derive(Debug, Clone)]
pub struct Display(Arc<Mutex<Shown>>);

#[derive(Debug)]
struct Shown {
    style: Style,
    session: Option<UploadId>,
    stage: Option<Stage>,
    total: u64,
    done: u64,
    /// When the last line was printed.
    line: Instant,
}

#[derive(Debug)]
enum Style {
    Silent,
    Lines,
    Bar(ProgressBar),
}

impl Display {
    #[must_use]
    pub fn new(output: OutputArgs) -> Self {
        let style = if output.json || output.quiet {
            Style::Silent
        } else if std::io::stderr().is_terminal() {
            Style::Bar(ProgressBar::no_length())
        } else {
            Style::Lines
        };
        Self::with_style(style)
    }

    fn with_style(style: Style) -> Self {
        Self(Arc::new(Mutex::new(Shown {
            style,
            session: None,
            stage: None,
            total: 0,
            done: 0,
            line: Instant::now(),
        })))
    }

    /// What the client library is to report to.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let shown = self.0.clone();
        Progress::new(move |_, event| shown.lock().unwrap_or_else(PoisonError::into_inner).on(&event))
    }

    /// The upload session, once there is one.
    #[must_use]
    pub fn session(&self) -> Option<UploadId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).session
    }

    /// Takes the bar away, so that what is printed next stands alone.
    pub fn finish(&self) {
        if let Style::Bar(bar) = &self.0.lock().unwrap_or_else(PoisonError::into_inner).style {
            bar.finish_and_clear();
        }
    }
}

impl Shown {
    fn on(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { stage, total, done } => self.start(*stage, *total, *done),
            Event::Advanced(bytes) => self.moved(self.done.saturating_add(*bytes)),
            Event::Lost(bytes) => self.moved(self.done.saturating_sub(*bytes)),
            Event::Session(id) => {
                self.session = Some(*id);
                // Told at once: a machine that loses power prints no hint.
                self.say(&format!("upload {id} (goes on with --resume {id})"));
            }
            Event::Finished(_) => {}
            Event::Retrying { error, after } => {
                self.say(&format!("{}; trying again in {:.1} s", chain(error), after.as_secs_f64()));
            }
        }
    }

    fn say(&self, text: &str) {
        match &self.style {
            Style::Silent => {}
            Style::Lines => eprintln!("{text}"),
            Style::Bar(bar) => bar.suspend(|| eprintln!("{text}")),
        }
    }

    fn start(&mut self, stage: Stage, total: u64, done: u64) {
        (self.stage, self.total, self.done) = (Some(stage), total, done);
        self.line = Instant::now();
        match &self.style {
            Style::Silent => {}
            Style::Lines if done > 0 => {
                eprintln!("{} {}, {} already there", name(stage), HumanBytes(total), HumanBytes(done));
            }
            Style::Lines => eprintln!("{} {}", name(stage), HumanBytes(total)),
            Style::Bar(bar) => {
                let template = if stage == Stage::Finalizing { SPINNER } else { BAR };
                // The templates are constants that are known to parse; a plain bar would do as well.
                bar.set_style(
                    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
                );
                bar.set_length(total);
                bar.set_position(done);
                // What was there already must not count as speed.
                bar.reset_eta();
                bar.reset_elapsed();
                bar.set_message(name(stage));
                bar.enable_steady_tick(TICK);
            }
        }
    }

    fn moved(&mut self, done: u64) {
        self.done = done;
        match (&self.style, self.stage) {
            (Style::Bar(bar), _) => bar.set_position(done),
            (Style::Lines, Some(stage)) if self.line.elapsed() >= LINE_INTERVAL => {
                self.line = Instant::now();
                eprintln!("{} {}%", name(stage), self.percent());
            }
            _ => {}
        }
    }

    fn percent(&self) -> u64 {
        let percent = u128::from(self.done) * 100 / u128::from(self.total.max(1));
        u64::try_from(percent).unwrap_or(100).min(100)
    }
}

const fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Hashing => "hashing",
        Stage::Uploading => "uploading",
        Stage::Finalizing => "finalizing",
        Stage::Downloading => "downloading",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_lost_and_sent_again_count_once() {
        let display = Display::with_style(Style::Silent);
        let progress = display.progress();
        drop(progress);
        let mut shown = display.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.on(&Event::Started { stage: Stage::Uploading, total: 200, done: 100 });
        for event in [Event::Advanced(50), Event::Lost(50), Event::Advanced(100)] {
            shown.on(&event);
        }
        assert_eq!((shown.done, shown.percent()), (200, 100));
        shown.on(&Event::Lost(900));
        assert_eq!(shown.done, 0);
    }

    #[test]
    fn an_empty_blob_has_no_percentage_to_divide_by() {
        let display = Display::with_style(Style::Lines);
        let mut shown = display.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.on(&Event::Started { stage: Stage::Hashing, total: 0, done: 0 });
        assert_eq!(shown.percent(), 0);
    }

    #[test]
    fn the_templates_parse() {
        assert!(ProgressStyle::with_template(BAR).is_ok() && ProgressStyle::with_template(SPINNER).is_ok());
    }
}
