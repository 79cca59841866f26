//! Every test that needs a server or a stock client, in one binary. `scripts/test` starts the servers and runs it;
//! without them it runs what the filesystem and SQLite allow, reports the rest as ignored and says so.
//!
//! Names: `harness::…`, `database::<database>::…`, `storage::<store>::…`, `<database>+<store>::<module>::<story>`, where
//! `<module>` is its path below `stories`: `uploads::crash`.
//! So all that is run on one store has `<store>::` in its name, which is how `scripts/test --stores` asks for it.

mod conformance;
mod database;
mod harness;
mod storage;
mod stories;
mod support;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Builder;

use stories::Group;
use support::{Servers, StackKind, prepared, trial};

/// Trials side by side. Each is several processes that mostly wait for each other, so a few more than the two
/// cores of a small machine keep those busy; many more only make time limits come near.
const TEST_THREADS: usize = 4;
/// Set to `all` where a missing server or client is a failure and no reason to test less.
const REQUIRE: &str = "OVERSIDE_TEST_REQUIRE";
/// A file for the seconds that each trial took, the longest first.
const TIMES: &str = "OVERSIDE_TEST_TIMES";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TEST_THREADS);
    let servers = Servers::from_environment();
    let missing = servers.missing().join(", ");
    if !missing.is_empty() && env::var(REQUIRE).is_ok_and(|required| required == "all") {
        eprintln!("{REQUIRE}=all, but these are not there: {missing}. Run scripts/test.");
        return ExitCode::FAILURE;
    }
    let conclusion = libtest_mimic::run(&arguments, trials(&servers));
    if !servers.is_full && !arguments.list {
        eprintln!("a quick run: without LocalStack, and with smaller blobs. scripts/test --full has both.");
    }
    if !missing.is_empty() && !arguments.list {
        eprintln!("left out: what needs {missing}. scripts/test installs and starts them and runs all.");
    }
    for name in trial::unsteady() {
        eprintln!("unsteady: {name} failed, and passed when it was run once more");
    }
    if let Ok(file) = env::var(TIMES) {
        let line = |(time, name): (Duration, String)| format!("{:.1} {name}\n", time.as_secs_f64());
        let lines: String = trial::times().into_iter().map(line).collect();
        std::fs::write(&file, lines).unwrap_or_else(|error| eprintln!("{TIMES}={file}: {error}"));
    }
    if let Some(server) = &servers.postgres {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(prepared::remove(server));
    }
    conclusion.exit_code()
}

fn trials(servers: &Servers) -> Vec<Trial> {
    let mut trials = harness::trials(servers);
    trials.extend(conformance::database(database::cases(), servers));
    trials.extend(conformance::storage(storage::cases(), servers));
    for Group { module, shows, is_there, stories } in stories::all(servers) {
        for story in stories {
            let kinds = shows.stacks(servers.is_full).iter();
            trials.extend(kinds.map(|&kind| trial::story(module, kind, story, is_there, servers)));
        }
    }
    for store in servers.other_stores.keys() {
        for (module, stories) in stories::on_every_store() {
            for story in stories {
                let kind = StackKind::SqliteOther(*store);
                trials.push(match store.cannot_serve() {
                    Some(why) => trial::left_out(format!("{}::{module}::{}", kind.name(), story.0), why),
                    None => trial::story(module, kind, story, true, servers),
                });
            }
        }
    }
    spread(trials)
}

/// Large stories wait for each other: next to each other they would keep every thread waiting.
fn spread(trials: Vec<Trial>) -> Vec<Trial> {
    let is_large = |trial: &Trial| trial.name().contains("::large::");
    let (large, others): (Vec<_>, Vec<_>) = trials.into_iter().partition(is_large);
    let between = others.len() / (large.len() + 1);
    let (mut others, mut spread) = (others.into_iter(), Vec::new());
    for trial in large {
        spread.push(trial);
        spread.extend(others.by_ref().take(between));
    }
    spread.extend(others);
    spread
}
