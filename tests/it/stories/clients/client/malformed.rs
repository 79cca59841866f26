//! Archives that are not sound: told in clear words, and nothing was asked of the registry.

#[path = "../../../../../crates/client/src/archive/tests/makers.rs"]
pub mod makers;
#[path = "../../../../../crates/client/src/archive/tests/malformed.rs"]
#[expect(dead_code, reason = "the archive's own tests make more of them")]
#[expect(clippy::module_inception, reason = "that file's name")]
mod malformed;

use std::fs;
use std::sync::Arc;

use futures_util::future::FutureExt;
use url::Url;

use super::NAME;
use crate::support::command_line::CommandLine;
use crate::support::trial::Story;
use crate::support::{FaultProxy, Stack};
use malformed::Malformed;

/// Fewer, and the list has lost some.
const CASES: usize = 50;

pub fn cases() -> Vec<Story> {
    vec![
        ("no_malformed_archive_is_sent_and_each_is_told_what_is_wrong", |s| refused(s).boxed()),
        ("an_archive_that_is_cut_is_not_sent_even_where_it_was_before", |s| cut(s).boxed()),
    ]
}

async fn refused(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let wire = FaultProxy::in_front_of(&Url::parse(server.base_url()).expect("a URL")).await;
    let overside = CommandLine::new(&stack, "client", wire.url().as_str());
    let archive = stack.folder().join("image.tar");
    let archive = archive.to_str().expect("UTF-8");
    let cases = malformed::all();
    assert!(cases.len() > CASES, "{}", cases.len());
    let mut wrong = Vec::new();
    for Malformed { what, archive: bytes, told } in cases {
        fs::write(archive, bytes).expect("a file of our own");
        let run = overside.run(&["push", archive, &format!("{NAME}:v1")]).await;
        let is_told = run.stderr.contains(told) && run.stderr.contains("image.tar was not sent");
        if run.code != Some(1) || !is_told || !run.stdout.is_empty() {
            wrong.push(format!("{what}: {run:?}"));
        }
        assert_eq!((wire.requests(), wire.traffic().to_target), (0, 0), "{what}: {run:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(stack.objects().await, []);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

async fn cut(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let wire = FaultProxy::in_front_of(&Url::parse(server.base_url()).expect("a URL")).await;
    let overside = CommandLine::new(&stack, "client", wire.url().as_str());
    let path = stack.folder().join("image.tar");
    let archive = path.to_str().expect("UTF-8");
    let whole = makers::Tar::of(&makers::saved("app:v1", &["one", "two"])).end();
    fs::write(&path, &whole).expect("a file of our own");
    let name = format!("{NAME}:v1");
    overside.done(&["push", archive, &name]).await;
    let (objects, asked) = (stack.objects().await, wire.requests());
    assert_eq!(objects.len(), 3, "two layers and a config: {objects:?}");
    assert!(asked > 0, "what is asked is counted");

    // The list at the end, which says what is in it, is what is missing.
    fs::write(&path, &whole[..whole.len() / 2]).expect("a file of our own");
    let told = overside.failed(1, &["push", archive, &name]).await;
    assert!(told.contains("is truncated"), "{told}");
    assert_eq!((stack.objects().await, wire.requests()), (objects, asked));
}
