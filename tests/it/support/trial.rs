//! One trial: a name, a case, a runtime of its own and a limit.

use std::any::Any;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};
use tokio::runtime::Builder;

use super::servers::Servers;
use super::stack::{Stack, StackKind};

/// A story as its module lists it: a sentence that would be true of the product, and the code that shows it.
pub type Story = (&'static str, fn(Arc<Stack>) -> futures_util::future::BoxFuture<'static, ()>);

/// A story takes seconds, and the machine may be building something else beside it.
const LIMIT: Duration = Duration::from_mins(5);
/// Gigabytes through servers that share two cores with the test.
const SLOW_LIMIT: Duration = Duration::from_mins(20);
/// Stories whose name begins so take [`SLOW_LIMIT`].
const SLOW_PREFIX: &str = "large_";
/// For tasks to end and their child processes with them, once a trial is over.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

/// One failure in these is a finding, however rare: what is lost, served falsely or decided twice.
const NO_SECOND_TRY: [&str; 4] =
    ["uploads::attacks", "uploads::concurrency", "uploads::crash", "upkeep::garbage"];
/// Modules and stories that are run as a newcomer would, on a database and a store that nobody has touched.
const BARE: [&str; 3] = ["service::documents", "uploads::smoke", "doctor_names_what_is_broken_and_its_mend"];

/// Stories that may need a second try in one run. More than a thousand run on a machine whose pauses nobody controls, and many
/// wait for something with a limit; more than so many is no pause.
const MAX_UNSTEADY: usize = 5;
/// Stories that failed and then passed, in this run.
static UNSTEADY: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How long each trial took that has ended, with its name.
static TIMES: Mutex<Vec<(Duration, String)>> = Mutex::new(Vec::new());

/// How long each trial took, the longest first.
pub fn times() -> Vec<(Duration, String)> {
    let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner).clone();
    times.sort_by(|one, other| other.cmp(one));
    times
}

/// The stories that passed only when they were run again.
pub fn unsteady() -> Vec<String> {
    UNSTEADY.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A trial that runs `case` on a runtime of its own; a panic or the limit fails it.
pub fn trial<F>(name: String, case: impl FnOnce() -> F + Send + 'static) -> Trial
where
    F: Future<Output = ()> + Send + 'static,
{
    let threads = name.clone();
    Trial::ignorable_test(name, move || on_runtime(&threads, within(LIMIT, case())))
}

/// A trial that runs a story on a fresh stack, and shows the service's logs when it fails. Then it is run once more,
/// and counted among the unsteady if it passes.
pub fn story(module: &str, kind: StackKind, story: Story, is_there: bool, servers: &Servers) -> Trial {
    let full_name = format!("{}::{module}::{}", kind.name(), story.0);
    let is_there = is_there && kind.is_there(servers);
    let (threads, servers) = (full_name.clone(), servers.clone());
    let is_bare = BARE.contains(&module) || BARE.contains(&story.0);
    let is_final = NO_SECOND_TRY.contains(&module);
    let run = move || {
        let first = on_runtime(&threads, on_fresh_stack(kind, is_bare, story, servers.clone()));
        let Err(failure) = first else { return first };
        if is_final || unsteady().len() >= MAX_UNSTEADY {
            return Err(failure);
        }
        eprintln!("{threads} failed, and is run once more: {}", failure.message().unwrap_or_default());
        let second = on_runtime(&threads, on_fresh_stack(kind, is_bare, story, servers));
        if second.is_ok() {
            UNSTEADY.lock().unwrap_or_else(PoisonError::into_inner).push(threads);
        }
        second
    };
    Trial::ignorable_test(full_name, run).with_ignored_flag(!is_there)
}

async fn on_fresh_stack(
    kind: StackKind,
    is_bare: bool,
    (name, case): Story,
    servers: Servers,
) -> Result<(), End> {
    let limit = if name.starts_with(SLOW_PREFIX) { SLOW_LIMIT } else { LIMIT };
    let set_up = async move {
        if is_bare { Stack::bare(kind, &servers).await } else { Stack::fresh(kind, &servers).await }
    };
    let stack = Arc::new(within(LIMIT, set_up).await?);
    let ran = within(limit, case(stack.clone())).await.map_err(|end| match end {
        End::Failed(message) => End::Failed(format!("{message}\n{}", stack.logs())),
        end @ End::NotHere(_) => end,
    });
    let removed = within(LIMIT, async move { stack.remove().await }).await;
    ran.and(removed)
}

/// A trial that is not run, and says why.
pub fn left_out(name: String, why: &'static str) -> Trial {
    Trial::ignorable_test(name, move || Ok(Completion::ignored_with(why)))
}

/// Ends a case that has nothing to show on this stack: it is reported as not run, with the reason.
pub fn not_here(why: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(NotHere(why)))
}

struct NotHere(&'static str);

/// How a case ends that does not run to its own end.
enum End {
    Failed(String),
    NotHere(&'static str),
}

/// Two workers: as many as the smallest machine this is tested on has cores.
fn on_runtime(name: &str, future: impl Future<Output = Result<(), End>>) -> Result<Completion, Failed> {
    // Threads carry the trial's name, so that a panic's own line says whose it is.
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name(name).enable_all().build()?;
    let began = Instant::now();
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(SHUTDOWN_LIMIT);
    TIMES.lock().unwrap_or_else(PoisonError::into_inner).push((began.elapsed(), name.to_owned()));
    match result {
        Ok(()) => Ok(Completion::Completed),
        Err(End::NotHere(why)) => Ok(Completion::ignored_with(why)),
        Err(End::Failed(message)) => Err(message.into()),
    }
}

async fn within<T: Send + 'static>(
    limit: Duration,
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, End> {
    let task = tokio::spawn(future);
    let abort = task.abort_handle();
    match tokio::time::timeout(limit, task).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            Err(error.try_into_panic().map_or_else(|error| End::Failed(error.to_string()), end))
        }
        Err(_) => {
            abort.abort();
            Err(End::Failed(format!("was not done within {limit:?}")))
        }
    }
}

fn end(panic: Box<dyn Any + Send>) -> End {
    match panic.downcast::<NotHere>() {
        Ok(not_here) => End::NotHere(not_here.0),
        Err(panic) => End::Failed(match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => {
                panic.downcast::<&str>().map_or_else(|_| "panicked".to_owned(), |text| (*text).to_owned())
            }
        }),
    }
}
