//! A folder as an artifact, and back.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::{NAME, SMALL_PARTS};
use crate::support::command_line::digest;
use crate::support::process::{Process, signal};
use crate::support::rough::{RoughProxy, Roughness};
use crate::support::{CommandLine, FaultProxy, Stack, Strike, api};

/// Files of the folder whose download is interrupted, and the size of each in bytes.
const FILES: usize = 12;
const SIZE: usize = 100_000;
/// The request to the server at which the client dies: some files are there by then, and some are not.
const FATAL_REQUEST: u64 = 9;
const KILLED_WITHIN: Duration = Duration::from_mins(1);

/// Every file below a folder by its path from there.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(below) = folders.pop() {
        for entry in std::fs::read_dir(below).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("what is below it").display().to_string();
                files.insert(name, std::fs::read(path).expect("a file"));
            }
        }
    }
    files
}

#[track_caller]
fn assert_same(ours: &CommandLine, folder: &str, back: &str) {
    let [folder, back] = [folder, back].map(|name| tree(&ours.path(name)));
    assert_eq!(folder.keys().collect::<Vec<_>>(), back.keys().collect::<Vec<_>>());
    for (name, content) in &folder {
        assert!(back[name] == *content, "{name}");
    }
}

pub async fn restored(stack: Arc<Stack>) {
    let server = stack.server(&SMALL_PARTS).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    for (name, size) in [
        ("folder/readme.txt", 40),
        ("folder/.hidden", 41),
        ("folder/data/part-0.parquet", (6 << 20) + 1),
        ("folder/data/day 1/über.parquet", 9_000),
        ("folder/data/day 1/empty", 0),
        // The same bytes under two names are one blob and two files.
        ("folder/data/day 2/part-0.parquet", 9_000),
    ] {
        ours.write(name, api::content(size));
    }
    let name = format!("{NAME}:v1");

    let printed = ours.done(&["put", "--recursive", "folder", &name]).await;
    assert_eq!(printed, format!("{} {name}\n", digest(&printed)));
    ours.done(&["get", &name, "-o", "back"]).await;
    assert_same(&ours, "folder", "back");
    // By its digest too, and over what is there: another file gives way, one that is nobody's stays.
    ours.write("back/readme.txt", "something else");
    ours.write("back/mine", "not of the artifact");
    ours.done(&["get", &format!("{NAME}@{}", digest(&printed)), "-o", "back"]).await;
    assert_eq!(ours.read("back/mine"), b"not of the artifact");
    std::fs::remove_file(ours.path("back/mine")).expect("it is there");
    assert_same(&ours, "folder", "back");

    // The same folder makes the same artifact, wherever it is.
    let theirs = CommandLine::new(&stack, "theirs", server.base_url());
    for (file, content) in tree(&ours.path("back")) {
        theirs.write(&format!("other/{file}"), content);
    }
    let again = theirs.done(&["put", "--recursive", "other", &format!("{NAME}:v2")]).await;
    assert_eq!(digest(&again), digest(&printed));
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

pub async fn interrupted(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let url = server.base_url().parse().expect("a URL");
    let wire = FaultProxy::in_front_of(&url).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    for number in 0..FILES {
        ours.write(&format!("folder/{}/{number}", number % 3), api::content(SIZE + number));
    }
    let name = format!("{NAME}:v1");
    ours.done(&["put", "--recursive", "folder", &name]).await;

    let (tell, told) = mpsc::channel::<u32>();
    wire.arm(FATAL_REQUEST, Strike::Before, move || {
        signal(told.recv().expect("the client has been started"), "-KILL");
    });
    let get = ["get", &name, "-o", "back", "--jobs", "1"];
    let through_wire = ours.at(wire.url().as_str());
    let mut get_killed = through_wire.command(&get);
    let mut process = Process::spawn(get_killed.stdout(Stdio::null()).stderr(Stdio::null()));
    tell.send(process.id()).expect("the proxy waits for it");
    let status = process.wait(KILLED_WITHIN).await.expect("it was killed");
    assert_eq!(status.code(), None);
    let there: Vec<_> =
        tree(&ours.path("back")).into_iter().filter(|(file, _)| !file.ends_with(".partial")).collect();
    assert!(!there.is_empty() && there.len() < FILES, "{}", there.len());
    let folder = tree(&ours.path("folder"));
    // What has its name is whole.
    assert!(there.iter().all(|(file, content)| folder[file] == *content));

    let counted = RoughProxy::in_front_of(&url, Roughness::default());
    ours.at(counted.url().as_str()).done(&get).await;
    assert_same(&ours, "folder", "back");
    let is_read = |path: &str| path.starts_with(&format!("/v2/{NAME}/blobs/"));
    let requests = counted.requests();
    let read = requests.iter().filter(|request| request.method == "GET" && is_read(&request.path)).count();
    assert_eq!(read, FILES - there.len(), "{requests:?}");
}
