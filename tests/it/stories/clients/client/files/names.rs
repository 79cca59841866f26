//! Files and names are told apart by where they stand, never by a guess.

use std::sync::Arc;

use super::NAME;
use crate::support::{CommandLine, Stack};

pub async fn story(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    for file in ["a.parquet", "b.parquet", "a.tar", "b.tar", "folder/c", "team/cargo/d"] {
        ours.write(file, file);
    }

    // What a shell makes of `put *.parquet`, and the like: each would have sent something to a file's name.
    for (arguments, told) in [
        (&["put", "a.parquet", "b.parquet"][..], "b.parquet is a file"),
        (&["put", "a.parquet"], "a.parquet is a file"),
        (&["put", "a.parquet", "-"], "- is a file"),
        (&["put", "*.parquet"], "*.parquet names no repository"),
        (&["put", "--recursive", "team", "folder"], "folder is a folder"),
        (&["put", "a.parquet", NAME], "for a repository of that name write --to team/cargo"),
        (&["push", "a.tar", "b.tar"], "b.tar is a file"),
        (&["push", "a.tar"], "a.tar is a file"),
        (&["push", "a.tar", "b.tar", "--to", NAME], "one archive"),
        (&["put", "team/other"], "nothing says what goes to team/other"),
    ] {
        let complaint = ours.failed(2, arguments).await;
        assert!(complaint.starts_with("error: ") && complaint.contains(told), "{arguments:?}: {complaint}");
    }
    assert_eq!(stack.objects().await, []);

    let by_option = ours.done(&["put", "--to", NAME, "a.parquet", "b.parquet"]).await;
    let last = ours.done(&["put", "*.parquet", "team/other"]).await;
    assert_eq!((by_option.lines().count(), by_option.replace(NAME, "team/other")), (2, last));
}
