//! What a person sees of long work: a line for each blob and one for all on a terminal, events where a script
//! listens, and elsewhere only what went wrong.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use overside_client::{Event, Outcome, Progress, Stage, Subject, printable};
use serde_json::{Value, json};

use super::output::{OutputMode, ResultFormat};
use crate::domain::upload::UploadId;
use crate::log_text::chain;

/// Bars at a time: those of what began first. All that moves is in the line of the whole.
const MAX_BARS: usize = 5;
/// Often enough for a spinner to look alive.
const TICK: Duration = Duration::from_millis(100);
/// A script is told of progress so often, for each blob.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);
/// And a log that a finalize goes on.
const LINE_INTERVAL: Duration = Duration::from_secs(30);
/// Of a name so many characters are shown: a digest's algorithm and its first twelve digits.
const NAME_WIDTH: usize = 19;
const BAR: &str = "{prefix:19} {msg:>11} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const SPINNER: &str = "{prefix:19} {msg:>11} {spinner} {elapsed}";
const TOTAL: &str = "{prefix:19} {msg:>11} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";

/// How much to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct OutputArgs {
    /// Print events and results as JSON objects, one a line
    #[arg(long)]
    pub json: bool,
    /// Print no progress, only the result
    #[arg(long, short)]
    pub quiet: bool,
}

impl OutputArgs {
    /// Of the result, which is one more event for whoever reads those.
    pub(super) const fn format(self) -> ResultFormat {
        ResultFormat { json: self.json }
    }
}

/// Shows what the client library reports, on standard error; events for scripts on standard output.
#[derive(Debug, Clone)]
pub struct Display(Arc<Mutex<Shown>>);

#[derive(Debug)]
struct Shown {
    style: Style,
    session: Option<UploadId>,
    subjects: HashMap<u64, Work>,
    /// Bytes of all subjects that have to travel in this run.
    total: u64,
    done: u64,
}

/// One subject's.
#[derive(Debug)]
struct Work {
    stage: Stage,
    total: u64,
    done: u64,
    /// What was there when the stage began.
    begun_at: u64,
    bar: Option<ProgressBar>,
    told: Instant,
}

#[derive(Debug)]
enum Style {
    Silent,
    /// No terminal: failures that are tried again, and nothing else.
    Plain,
    Events,
    Bars {
        all: MultiProgress,
        total: ProgressBar,
    },
}

impl Display {
    #[must_use]
    pub fn new(output: OutputArgs) -> Self {
        Self::with_style(if output.json {
            Style::Events
        } else if output.quiet {
            Style::Silent
        } else if std::io::stderr().is_terminal() {
            let all = MultiProgress::new();
            let total = all.add(ProgressBar::no_length().with_style(style(TOTAL)).with_prefix("total"));
            Style::Bars { all, total }
        } else {
            Style::Plain
        })
    }

    fn with_style(style: Style) -> Self {
        let mode = match &style {
            Style::Silent => OutputMode::Silent,
            Style::Events => OutputMode::Events,
            Style::Plain => OutputMode::Plain,
            Style::Bars { all, .. } => OutputMode::Bars(all.clone()),
        };
        mode.install();
        let subjects = HashMap::new();
        Self(Arc::new(Mutex::new(Shown { style, session: None, subjects, total: 0, done: 0 })))
    }

    /// What the client library is to report to.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let shown = self.0.clone();
        Progress::new(move |subject, event| {
            shown.lock().unwrap_or_else(PoisonError::into_inner).on(subject, &event);
        })
    }

    /// The last upload session that was begun.
    #[must_use]
    pub fn session(&self) -> Option<UploadId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).session
    }

    /// Takes the bars away, so that what is printed next stands alone.
    pub fn finish(&self) {
        if let Style::Bars { all, total } = &self.0.lock().unwrap_or_else(PoisonError::into_inner).style {
            total.finish_and_clear();
            // Fails only where there is no terminal any more.
            let _ = all.clear();
            OutputMode::Plain.install();
        }
    }
}

impl Shown {
    fn on(&mut self, subject: &Subject, event: &Event<'_>) {
        match event {
            Event::Started { stage, total, done } => self.start(subject, *stage, *total, *done),
            Event::Advanced(bytes) => self.moved(subject, |done| done.saturating_add(*bytes)),
            Event::Lost(bytes) => self.moved(subject, |done| done.saturating_sub(*bytes)),
            Event::Session(id) => {
                self.session = Some(*id);
                self.event(subject, "session", &json!({ "upload_uuid": id }));
            }
            Event::Finalizing { phase, done, total } => self.finalizing(subject, phase, *done, *total),
            Event::Finished(outcome) => self.end(subject, *outcome),
            Event::Retrying { error, after } => {
                let text = chain(error);
                self.event(
                    subject,
                    "retrying",
                    &json!({ "error": text, "after_seconds": after.as_secs_f64() }),
                );
                self.say(&format!("{text}; {}", super::output::trying_again(*after)));
            }
            _ => {}
        }
    }

    fn say(&self, text: &str) {
        match &self.style {
            Style::Silent | Style::Events => {}
            Style::Plain | Style::Bars { .. } => complain!("{text}"),
        }
    }

    fn event(&self, subject: &Subject, event: &str, details: &Value) {
        if matches!(self.style, Style::Events) {
            let mut object = json!({ "event": event, "subject": subject.name });
            if let (Some(object), Some(details)) = (object.as_object_mut(), details.as_object()) {
                object.extend(details.clone());
            }
            say!("{object}");
        }
    }

    fn start(&mut self, subject: &Subject, stage: Stage, total: u64, done: u64) {
        self.event(subject, "started", &json!({ "stage": stage, "total": total, "done": done }));
        let before = self.subjects.remove(&subject.id);
        // Hashing, compressing and proving move no bytes: they do not count in the whole.
        let counts = |stage| matches!(stage, Stage::Uploading | Stage::Downloading);
        match &before {
            Some(before) if counts(before.stage) && stage == Stage::Finalizing => {}
            Some(before) if counts(before.stage) => {
                self.total = self.total.saturating_sub(before.total.saturating_sub(before.begun_at));
                self.done = self.done.saturating_sub(before.done.saturating_sub(before.begun_at));
            }
            _ => {}
        }
        if counts(stage) {
            self.total += total.saturating_sub(done);
        }
        let mut bar = before.and_then(|before| before.bar);
        let has_room = self.subjects.values().filter(|work| work.bar.is_some()).count() < MAX_BARS;
        if let Style::Bars { all, total: whole } = &self.style {
            if has_room {
                bar.get_or_insert_with(|| all.insert_before(whole, ProgressBar::no_length()));
            }
            whole.set_length(self.total);
            whole.set_position(self.done);
        }
        if let Some(bar) = &bar {
            bar.set_style(style(if stage == Stage::Finalizing { SPINNER } else { BAR }));
            bar.set_prefix(shortened(&subject.name));
            bar.set_length(total);
            bar.set_position(done);
            // What was there already must not count as speed.
            bar.reset_eta();
            bar.reset_elapsed();
            bar.set_message(name(stage));
            bar.enable_steady_tick(TICK);
        }
        let work = Work { stage, total, done, begun_at: done, bar, told: Instant::now() };
        self.subjects.insert(subject.id, work);
    }

    fn moved(&mut self, subject: &Subject, change: impl Fn(u64) -> u64) {
        let Some(work) = self.subjects.get_mut(&subject.id) else { return };
        work.done = change(work.done);
        if let Some(bar) = &work.bar {
            bar.set_position(work.done);
        }
        let (stage, total, done) = (work.stage, work.total, work.done);
        let is_told = work.told.elapsed() >= EVENT_INTERVAL;
        if is_told {
            work.told = Instant::now();
        }
        if matches!(stage, Stage::Uploading | Stage::Downloading) {
            self.done = change(self.done);
            if let Style::Bars { total, .. } = &self.style {
                total.set_position(self.done);
            }
        }
        if is_told {
            self.event(subject, "progress", &json!({ "stage": stage, "total": total, "done": done }));
        }
    }

    fn finalizing(&mut self, subject: &Subject, phase: &str, done: u64, total: u64) {
        let Some(work) = self.subjects.get_mut(&subject.id) else { return };
        let text = format!("{phase} {}", of_total(done, total));
        if let Some(bar) = &work.bar {
            bar.set_message(text.clone());
        }
        let interval = if matches!(self.style, Style::Plain) { LINE_INTERVAL } else { EVENT_INTERVAL };
        if work.told.elapsed() < interval {
            return;
        }
        work.told = Instant::now();
        let details = json!({ "stage": Stage::Finalizing, "phase": phase, "total": total, "done": done });
        self.event(subject, "progress", &details);
        if matches!(self.style, Style::Plain) {
            self.say(&format!("{} {text}", shortened(&subject.name)));
        }
    }

    fn end(&mut self, subject: &Subject, outcome: Outcome) {
        self.event(subject, "finished", &json!({ "outcome": outcome }));
        let work = self.subjects.remove(&subject.id);
        // What was there, or was mounted, is done without a byte having moved.
        if let Some(work) =
            work.as_ref().filter(|work| matches!(work.stage, Stage::Uploading | Stage::Downloading))
        {
            let left = work.total.saturating_sub(work.done);
            if matches!(outcome, Outcome::Exists | Outcome::Mounted | Outcome::Foreign) {
                self.total = self.total.saturating_sub(left);
            } else {
                self.done += left;
            }
        }
        let Style::Bars { all, total: whole } = &self.style else { return };
        whole.set_length(self.total);
        whole.set_position(self.done);
        let size = work.as_ref().map(|work| work.total).unwrap_or_default();
        if let Some(bar) = work.and_then(|work| work.bar) {
            bar.finish_and_clear();
        }
        let mut line = format!("{:NAME_WIDTH$} {}", printable(&subject.name), said(outcome));
        if size > 0 {
            let _ = write!(line, " {}", HumanBytes(size));
        }
        let _ = all.println(line);
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants that are known to parse; a plain bar would do as well.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// `1.2 of 3.0 GiB`
fn of_total(done: u64, total: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| total >= *unit) {
        Some((unit, name)) => {
            // In tenths, by whole numbers: a total may be any.
            let tenths = |bytes: u64| u128::from(bytes) * 10 / u128::from(*unit);
            let [done, total] =
                [done, total].map(|bytes| format!("{}.{}", tenths(bytes) / 10, tenths(bytes) % 10));
            format!("{done} of {total} {name}")
        }
        None => format!("{done} of {total} bytes"),
    }
}

/// The beginning of a digest, the end of a path; a title is a stranger's text.
fn shortened(name: &str) -> String {
    let name = &*printable(name);
    let length = name.chars().count();
    if length <= NAME_WIDTH {
        name.to_owned()
    } else if name.starts_with("sha256:") || name.starts_with("sha512:") {
        name.chars().take(NAME_WIDTH).collect()
    } else {
        let end: String = name.chars().skip(length + 1 - NAME_WIDTH).collect();
        format!("…{end}")
    }
}

const fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Hashing => "hashing",
        Stage::Compressing => "compressing",
        Stage::Uploading => "uploading",
        Stage::Finalizing => "finalizing",
        Stage::Downloading => "downloading",
        _ => "working",
    }
}

const fn said(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Exists => "exists",
        Outcome::Mounted => "mounted",
        Outcome::Direct => "direct",
        Outcome::ThroughServer => "through the server",
        Outcome::Downloaded => "downloaded",
        Outcome::Foreign => "foreign, left where it is",
        _ => "done",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(id: u64) -> Subject {
        Subject { id, name: format!("sha256:{id:064}") }
    }

    #[test]
    fn bytes_that_are_lost_and_sent_again_count_once() {
        let display = Display::with_style(Style::Silent);
        let mut shown = display.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in [1, 2] {
            shown.on(&subject(id), &Event::Started { stage: Stage::Hashing, total: 200, done: 0 });
            shown.on(&subject(id), &Event::Advanced(200));
            shown.on(&subject(id), &Event::Started { stage: Stage::Uploading, total: 200, done: 100 });
        }
        for event in [Event::Advanced(50), Event::Lost(50), Event::Advanced(100)] {
            shown.on(&subject(1), &event);
        }
        // A hundred of each were there.
        assert_eq!((shown.done, shown.total), (100, 200));
        shown.on(&subject(1), &Event::Started { stage: Stage::Finalizing, total: 200, done: 0 });
        shown.on(&subject(1), &Event::Finished(Outcome::Direct));
        shown.on(&subject(2), &Event::Lost(50));
        shown.on(&subject(2), &Event::Advanced(80));
        assert_eq!((shown.subjects.len(), shown.done, shown.total), (1, 130, 200));
        // Somebody else has sent the rest.
        shown.on(&subject(2), &Event::Finished(Outcome::Exists));
        assert_eq!((shown.done, shown.total), (130, 130));
    }

    #[test]
    fn names_are_cut_where_they_say_least() {
        assert_eq!(shortened("file.bin"), "file.bin");
        assert_eq!(shortened(&subject(1).name), "sha256:000000000000");
        assert_eq!(shortened("a/very/long/path/to/model.bin"), "…/path/to/model.bin");
    }

    #[test]
    fn what_is_done_is_told_in_the_unit_of_the_whole() {
        for (done, total, text) in [
            (1_300_000_000, 3 << 30, "1.2 of 3.0 GiB"),
            (0, 5 << 20, "0.0 of 5.0 MiB"),
            (12, 900, "12 of 900 bytes"),
            (u64::MAX, u64::MAX, "17179869183.9 of 17179869183.9 GiB"),
        ] {
            assert_eq!(of_total(done, total), text);
        }
    }

    #[test]
    fn the_templates_parse() {
        for template in [BAR, SPINNER, TOTAL] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
