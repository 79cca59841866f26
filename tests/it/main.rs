//! Every test that needs a server or a stock client, in one binary. `scripts/test` starts the servers and runs it;
//! without them it runs what the filesystem and SQLite allow, reports the rest as ignored and says so.
//!
//! Names: `harness::…`, `database::<database>::…`, `storage::<store>::…`, `<database>+<store>::<module>::<story>`.
//! So all that is run on one store has `<store>::` in its name, which is how `scripts/test --stores` asks for it.

mod conformance;
mod database;
mod harness;
mod storage;
mod stories;
mod support;

use std::env;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use support::{Servers, StackKind, trial};

/// Trials side by side. Each is several processes that mostly wait for each other, so a few more than the two
/// cores of a small machine keep those busy; many more only make time limits come near.
const TEST_THREADS: usize = 4;
/// Set to `all` where a missing server or client is a failure and no reason to test less.
const REQUIRE: &str = "OVERSIDE_TEST_REQUIRE";

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
    if !missing.is_empty() && !arguments.list {
        eprintln!("left out: what needs {missing}. scripts/test installs and starts them and runs all.");
    }
    for name in trial::unsteady() {
        eprintln!("unsteady: {name} failed, and passed when it was run once more");
    }
    conclusion.exit_code()
}

fn trials(servers: &Servers) -> Vec<Trial> {
    let mut trials = harness::trials(servers);
    trials.extend(conformance::database(database::cases(), servers));
    trials.extend(conformance::storage(storage::cases(), servers));
    for (module, stories) in stories::all() {
        for story in stories {
            trials.extend(StackKind::ALL.map(|kind| trial::story(module, kind, story, servers)));
        }
    }
    for store in servers.other_stores.keys() {
        for (module, stories) in stories::on_every_store() {
            for story in stories {
                let kind = StackKind::SqliteOther(*store);
                trials.push(match store.cannot_serve() {
                    Some(why) => trial::left_out(format!("{}::{module}::{}", kind.name(), story.0), why),
                    None => trial::story(module, kind, story, servers),
                });
            }
        }
    }
    for (need, stories) in stories::client::cases() {
        for story in stories {
            trials.extend(need.stacks().iter().map(|&kind| {
                let is_there = kind.is_there(servers) && need.is_there(servers);
                trial::story("client", kind, story, servers).with_ignored_flag(!is_there)
            }));
        }
    }
    for story in stories::clocks::cases() {
        // Replicas on SQLite are on one machine and have its clock.
        let kinds = [StackKind::PostgresSeaweedFs, StackKind::PostgresLocalStack];
        trials.extend(kinds.map(|kind| {
            let is_there = kind.is_there(servers) && servers.faketime.is_some();
            trial::story("clocks", kind, story, servers).with_ignored_flag(!is_there)
        }));
    }
    for story in stories::browser::cases() {
        trials.extend(StackKind::ALL.map(|kind| {
            let is_there = kind.is_there(servers) && servers.chromium.is_some();
            trial::story("browser", kind, story, servers).with_ignored_flag(!is_there)
        }));
    }
    for story in stories::documents::cases() {
        // A reader begins with the embedded default.
        let is_there = servers.skopeo.is_some();
        let trial = trial::story("documents", StackKind::SqliteFilesystem, story, servers);
        trials.push(trial.with_ignored_flag(!is_there));
    }
    for (client, stories) in stories::clients::cases() {
        for story in stories {
            trials.extend(client.stacks().iter().map(|&kind| {
                let is_there = kind.is_there(servers) && client.program(servers).is_some();
                trial::story("clients", kind, story, servers).with_ignored_flag(!is_there)
            }));
        }
    }
    trials
}
