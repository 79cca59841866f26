//! The audit log: who did what to which repository, when, from where.

mod entries;
mod kept;
mod reading;

use crate::support::Stack;
use crate::support::trial::Story;

const NAME: &str = "team/app/model";
/// What a service that asks people to sign in does at its first start.
const FIRST: &str = "(command line) create user admin - -";

pub fn cases() -> Vec<Story> {
    [entries::cases(), reading::cases(), kept::cases()].concat()
}

/// Every entry, oldest first: who, what, which, in which project, from where.
async fn log(stack: &Stack) -> Vec<String> {
    const SQL: &str = "
        SELECT username || ' ' || operation || ' ' || resource_type || ' ' || resource || ' '
            || COALESCE(project_name, '-') || ' ' || COALESCE(client_address, '-') FROM audit_entry ORDER BY id";
    stack.database.texts(SQL).await
}

/// The log once what is written in batches has been.
async fn log_of(stack: &Stack, entries: usize) -> Vec<String> {
    let begun = std::time::Instant::now();
    loop {
        let log = log(stack).await;
        if log.len() >= entries || begun.elapsed() > std::time::Duration::from_secs(3) {
            return log;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
