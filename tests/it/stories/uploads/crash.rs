//! `kill -9` between any two steps, and what every other replica makes of it afterwards.
//!
//! With a bucket and PostgreSQL the service is struck on the wire: just before and just after every single
//! thing it says to its store or to its database, until an upload comes through without the strike having
//! fallen. SQLite and the filesystem have no wire: there it is killed at moments drawn from a seed.

mod client;
mod kills;
mod pushes;
mod strikes;

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::clock::Clock;

use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{Stack, Store, api};
use client::{Operation, Session};

/// What is struck: the service's wire to its store, or to its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Store,
    Database,
}

pub fn cases() -> Vec<Story> {
    vec![
        ("a_push_that_is_killed_twenty_times_goes_on_and_sends_nothing_again", |stack| {
            pushes::story(stack).boxed()
        }),
        ("a_kill_at_any_request_to_the_store_loses_nothing_of_a_put_that_is_read_back", |stack| {
            survives(stack, Operation::Put, Wire::Store)
        }),
        ("a_kill_at_any_request_to_the_store_loses_nothing_of_a_put_that_the_store_checks", |stack| {
            survives(stack, Operation::DeclaredPut, Wire::Store)
        }),
        ("a_kill_at_any_request_to_the_store_loses_nothing_of_a_multipart_upload", |stack| {
            survives(stack, Operation::Multipart, Wire::Store)
        }),
        ("a_kill_at_any_request_to_the_store_loses_nothing_of_the_chunks_that_were_acknowledged", |stack| {
            survives(stack, Operation::Chunked, Wire::Store)
        }),
        ("a_kill_at_any_request_to_the_store_loses_nothing_of_a_put_whose_digest_nobody_tells", |stack| {
            survives(stack, Operation::UntoldPut, Wire::Store)
        }),
        ("a_kill_at_any_request_to_the_store_loses_nothing_of_parts_whose_digest_nobody_tells", |stack| {
            survives(stack, Operation::UntoldMultipart, Wire::Store)
        }),
        ("a_kill_at_any_request_to_the_store_never_publishes_bytes_under_another_digest", |stack| {
            survives(stack, Operation::WrongPut, Wire::Store)
        }),
    ]
}

/// Where there is a wire to the database. What the store answers has no part in where these fall.
pub fn cases_of_databases() -> Vec<Story> {
    vec![
        ("a_kill_at_any_request_to_the_database_loses_nothing_of_a_put_that_is_read_back", |stack| {
            survives(stack, Operation::Put, Wire::Database)
        }),
        ("a_kill_at_any_request_to_the_database_loses_nothing_of_a_put_that_the_store_checks", |stack| {
            survives(stack, Operation::DeclaredPut, Wire::Database)
        }),
        ("a_kill_at_any_request_to_the_database_loses_nothing_of_a_multipart_upload", |stack| {
            survives(stack, Operation::Multipart, Wire::Database)
        }),
        (
            "a_kill_at_any_request_to_the_database_loses_nothing_of_the_chunks_that_were_acknowledged",
            |stack| survives(stack, Operation::Chunked, Wire::Database),
        ),
        ("a_kill_at_any_request_to_the_database_loses_nothing_of_a_put_whose_digest_nobody_tells", |stack| {
            survives(stack, Operation::UntoldPut, Wire::Database)
        }),
        ("a_kill_at_any_request_to_the_database_loses_nothing_of_parts_whose_digest_nobody_tells", |stack| {
            survives(stack, Operation::UntoldMultipart, Wire::Database)
        }),
        ("a_kill_at_any_request_to_the_database_never_publishes_bytes_under_another_digest", |stack| {
            survives(stack, Operation::WrongPut, Wire::Database)
        }),
    ]
}

/// Where there is a bucket to be redirected to.
pub fn cases_of_redirects() -> Vec<Story> {
    vec![
        ("a_kill_at_any_request_to_the_store_loses_nothing_of_a_redirected_upload", |stack| {
            survives(stack, Operation::Redirected, Wire::Store)
        }),
        ("a_kill_at_any_request_to_the_database_loses_nothing_of_a_redirected_upload", |stack| {
            survives(stack, Operation::Redirected, Wire::Database)
        }),
    ]
}

/// One replica dies again and again, the other one goes on each time; then one cleaning leaves nothing.
fn survives(stack: Arc<Stack>, operation: Operation, wire: Wire) -> BoxFuture<'static, ()> {
    async move {
        // The cleaner stays out of what is looked at.
        let survivor = stack.server(&["--part-size", "5MiB", "--clean-interval", "1h"]).await;
        // Room enough, and never without a look whether there is.
        stack.database.limit("team", [1 << 40, -1]).await;
        let sessions = match &stack.store {
            Store::S3 { .. } => strikes::at_every_step(&stack, &survivor, operation, wire).await,
            Store::Filesystem { .. } => kills::at_random(&stack, &survivor, operation).await,
        };
        clean(&stack, &survivor, operation, &sessions).await;
    }
    .boxed()
}

async fn clean(stack: &Stack, survivor: &Server, operation: Operation, sessions: &[Session]) {
    let cleanup = stack.command(&["cleanup", "--sweep-grace", "1ms"]).await;
    assert_eq!(cleanup.code, Some(0), "{cleanup:?}");
    assert_eq!(stack.database.unsettled().await, 0, "{cleanup:?}");
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());

    let database = api::database(stack).await;
    let undone =
        database.undiscarded_uploads(Clock::System.now(), u32::MAX, 0).await.expect("the database answers");
    assert_eq!(undone, [], "a session whose temporary objects nobody has dealt with");
    // What was reserved for all of them is given back, and what they have stored is counted once.
    let stored: u64 = stack.objects().await.into_iter().map(|(_, size)| size).sum();
    assert_eq!(crate::stories::upkeep::quotas::usage(stack, "team").await, [stored, 0, 0]);
    let log = database.audit_entries(None, None, u32::MAX, 0).await.expect("the database answers").0;
    let mut pushes: Vec<_> = log.into_iter().map(|entry| (entry.operation, entry.resource)).collect();
    pushes.sort_unstable();
    let mut published: Vec<u64> = stack.objects().await.into_iter().map(|(_, size)| size).collect();
    published.sort_unstable();
    if operation == Operation::WrongPut {
        assert_eq!((published, pushes), (Vec::<u64>::new(), Vec::new()));
        return;
    }
    let mut expected: Vec<u64> = sessions.iter().map(|session| session.content.len() as u64).collect();
    expected.sort_unstable();
    assert_eq!(published, expected, "one object for each upload and no other");
    let mut written: Vec<_> = sessions.iter().map(Session::audited).collect();
    written.sort_unstable();
    assert_eq!(pushes, written, "one entry of the audit log for each");
    for session in sessions {
        session.check_completed(stack, survivor).await;
    }
    database.close().await;
}
