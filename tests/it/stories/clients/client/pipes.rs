//! `-` is standard input and output, and what is called .tgz is packed.

use std::io::Read;
use std::sync::Arc;

use flate2::read::GzDecoder;
use futures_util::future::FutureExt;

use super::NAME;
use crate::support::command_line::digest;
use crate::support::layout::{Layout, Packing};
use crate::support::trial::Story;
use crate::support::{CommandLine, Stack, api};

pub fn cases() -> Vec<Story> {
    vec![
        ("get_writes_a_blob_or_an_only_file_to_standard_output", |s| get(s).boxed()),
        ("images_go_through_pipes_and_into_packed_tars", |s| images(s).boxed()),
    ]
}

async fn get(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    let content = "a lighter\nalongside\n".repeat(50_000);
    ours.write("folder/a", &content);
    ours.write("folder/b", "b");
    let printed = ours.done(&["put", "folder/a", NAME]).await;
    let blob = format!("{NAME}@{}", digest(&printed));
    let (one, two) = (format!("{NAME}:one"), format!("{NAME}:two"));
    ours.done(&["put", "folder/a", &one]).await;
    ours.done(&["put", "--recursive", "folder", &two]).await;

    assert!(ours.done(&["get", &blob, "-o", "-"]).await == content);
    assert!(ours.done(&["get", &one, "-o", "-"]).await == content);
    let complaint = ours.failed(1, &["get", &two, "-o", "-"]).await;
    assert!(complaint.contains("2 files"), "{complaint}");
    let complaint = ours.failed(2, &["get", &blob, "-o", "-", "--json"]).await;
    assert!(complaint.contains("--json"), "{complaint}");
    let missing = format!("{NAME}@{}", api::digest_of(b"nobody has sent this"));
    ours.failed(1, &["get", &missing, "-o", "-"]).await;
    assert!(!ours.path("-").exists());
}

async fn images(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    let mut layout = Layout::new(ours.path("image"));
    let root = layout.image("amd64", Packing::TarGzip, &[70_000, 300]);
    layout.tag("v1", root);
    let tagged = format!("{NAME}:v1");
    let pushed = ours.done(&["push", "image", &tagged]).await;
    ours.done(&["pull", &tagged, "image.tar"]).await;
    let tar = ours.read("image.tar");

    // Byte for byte what a file would have, through a shell's pipe.
    let piped = ours.command(&["pull", &tagged, "-"]);
    let program = piped.get_program().to_str().expect("UTF-8").to_owned();
    let mut shell = stack.program(std::path::Path::new("/bin/sh"));
    for (name, value) in piped.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    let script = format!(
        "{program} pull {tagged} - > piped.tar && {program} pull {tagged} - | {program} push - {NAME}:piped"
    );
    let done = stack.run(shell.current_dir(ours.path("")).args(["-c", &script])).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    assert_eq!(done.stdout, format!("{} {NAME}:piped\n", digest(&pushed)));
    assert!(ours.read("piped.tar") == tar);
    let complaint = ours.failed(2, &["pull", &tagged, "-", "--json"]).await;
    assert!(complaint.contains("--json"), "{complaint}");

    ours.write("image.tgz.tar", "somebody's own");
    for name in ["image.tgz", "packed.tar.gz"] {
        ours.done(&["pull", &tagged, name]).await;
        let (packed, mut unpacked) = (ours.read(name), Vec::new());
        GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).expect("a gzip'd tar");
        assert!(unpacked == tar, "{name}");
        let again = ours.done(&["push", name, &format!("{NAME}:again")]).await;
        assert_eq!(digest(&again), digest(&pushed));
    }
    // Nothing is left beside them, and nothing else is touched.
    assert_eq!(ours.read("image.tgz.tar"), b"somebody's own");
    let mut left: Vec<_> = std::fs::read_dir(ours.path(""))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| name.contains(".t"))
        .collect();
    left.sort();
    assert_eq!(left, ["image.tar", "image.tgz", "image.tgz.tar", "packed.tar.gz", "piped.tar"]);
}
