//! `overside cleanup` as people and cron see it.

use std::sync::Arc;

use super::{NAME, age};
use crate::support::api::{self, Repository};
use crate::support::{Stack, Store};

pub async fn told(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    for _ in 0..2 {
        let upload = repository.begin().await;
        upload.put(&api::content(1_000)).await;
        age(&stack, &upload).await;
    }
    let lines = |verb: &str, sessions: u64| {
        format!(
            "{sessions} expired sessions {verb} ended\n\
             {sessions} ended sessions {verb} cleaned up\n\
             0 blobs brought to their place\n\
             0 temporary objects {verb} swept\n\
             0 incomplete multipart uploads {verb} swept\n\
             0 old sessions {verb} forgotten\n\
             0 old entries of the audit log {verb} forgotten\n"
        )
    };
    for (flags, verb, sessions) in
        [(&["cleanup", "--dry-run"][..], "would be", 2), (&["cleanup"], "were", 2), (&["cleanup"], "were", 0)]
    {
        let done = stack.command(flags).await;
        assert_eq!((done.code, done.stdout), (Some(0), lines(verb, sessions)), "{}", done.stderr);
    }
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

pub async fn failures(stack: Arc<Stack>) {
    let bad_usage = [
        &["cleanup", "--sweep-grace", "soon"][..],
        &["cleanup", "--no-such-flag"],
        &["cleanup", "--storage", "gs://bucket"],
    ];
    for arguments in bad_usage {
        let done = stack.command(arguments).await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(done.stderr.starts_with("error: "), "{}", done.stderr);
    }
    // Port 1 is nobody's.
    let mut unreachable = vec![(["--database", "postgres://nobody@127.0.0.1:1/none"], "--database")];
    if matches!(stack.store, Store::S3 { .. }) {
        unreachable.push((["--s3-endpoint", "http://127.0.0.1:1"], "overside doctor"));
    } else {
        unreachable.push((["--storage", "file:///dev/null/store"], "/dev/null/store"));
    }
    for (flags, advice) in unreachable {
        let done = stack.command(&["cleanup", "--json", flags[0], flags[1]]).await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{flags:?}: {}", done.stderr);
        assert!(done.stderr.contains("error: ") && done.stderr.contains(advice), "{}", done.stderr);
    }
}
