//! Blobs up to a foreign registry, and back.

use std::sync::Arc;

use super::{open, repository};
use crate::support::command_line::{digest, events, host};
use crate::support::rough::{RoughProxy, Roughness};
use crate::support::{CommandLine, Stack, api};

const MIB: usize = 1 << 20;
/// In bytes: nothing, what one `PATCH` takes, and what takes three.
const SIZES: [usize; 3] = [0, 5_000, 33 * MIB + 7];
const LARGE: usize = 100 * MIB;
const CUT_EVERY: u64 = 30 * MIB as u64;

pub async fn files(stack: Arc<Stack>) {
    let (registry, ours) = (open(), CommandLine::new(&stack, "ours", "http://127.0.0.1:9"));
    let name = repository(&registry, "files");
    for size in SIZES {
        let content = api::content(size);
        ours.write("cargo", &content);
        let printed = ours.done(&["put", "cargo", &name]).await;
        let expected = api::digest_of(&content);
        assert_eq!(printed, format!("{expected} {size} {name}@{expected}\n"));
        ours.done(&["get", &format!("{name}@{expected}"), "-o", "back"]).await;
        assert!(ours.read("back") == content, "{size}");
        let again = events(&ours.done(&["put", "--json", "cargo", &name]).await);
        assert_eq!(again.last().expect("a result")["outcome"], "exists");
    }
    let streamed = api::content(SIZES[2] + 1);
    let printed = ours.done_with_input(&streamed, &["put", "-", &name]).await;
    assert_eq!(digest(&printed), api::digest_of(&streamed).to_string());

    ours.write("folder/a/b", "b");
    ours.write("folder/c", "c");
    ours.done(&["put", "--recursive", "folder", &format!("{name}:v1")]).await;
    ours.done(&["get", &format!("{name}:v1"), "-o", "restored"]).await;
    assert_eq!((ours.read("restored/a/b"), ours.read("restored/c")), (b"b".to_vec(), b"c".to_vec()));
}

pub async fn cut(stack: Arc<Stack>) {
    let registry = open();
    let roughness = Roughness { cut_every: Some(CUT_EVERY), refuse_every: Some(7) };
    let wire = RoughProxy::in_front_of(&registry, roughness);
    let ours = CommandLine::new(&stack, "ours", "http://127.0.0.1:9");
    // No mebibyte of it is like another.
    let mut content = api::content(MIB).repeat(LARGE / MIB);
    for (number, block) in content.chunks_mut(MIB).enumerate() {
        block[0] = u8::try_from(number).expect("a hundred of them");
    }
    ours.write("cargo", &content);
    let name = repository(&registry, "large");
    let through_wire = name.replace(host(registry.as_str()), host(wire.url().as_str()));

    let done = ours.run(&["put", "cargo", &through_wire]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let (sent, expected) = (wire.sent(), api::digest_of(&content));
    assert_eq!(digest(&done.stdout), expected.to_string());
    assert!(sent.cuts >= 3 && sent.refused > 0, "{sent:?}");
    let twice = sent.bodies - LARGE as u64;
    assert!(twice < LARGE as u64 / 10, "{twice} bytes were sent again: {sent:?}, {}", done.stderr);
    let puts: Vec<_> = wire.requests().into_iter().filter(|request| request.method == "PUT").collect();
    assert!(puts.iter().all(|request| request.body == 0), "{puts:?}");

    ours.done(&["get", &format!("{name}@{expected}"), "-o", "back"]).await;
    assert!(ours.read("back") == content);
}
