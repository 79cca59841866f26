//! Blobs up to a foreign registry, and back.

use std::sync::Arc;

use super::{open, repository};
use crate::support::command_line::{digest, events, host};
use crate::support::rough::{End, RoughProxy, Roughness};
use crate::support::{CommandLine, FaultProxy, Stack, Strike, api};

const MIB: usize = 1 << 20;
/// In bytes: nothing, what a registry tells from nothing only by its `202`, what one `PATCH` takes, and what takes three.
const SIZES: [usize; 4] = [0, 1, 5_000, 33 * MIB + 7];
const LARGE: usize = 100 * MIB;
const REFUSE_EVERY: u64 = 3;
const SMALLER: usize = 40 * MIB;
/// After a HEAD, a POST and the first one.
const SECOND_PATCH: u64 = 4;

pub async fn files(stack: Arc<Stack>) {
    let (registry, ours) = (open(), CommandLine::new(&stack, "ours", "http://127.0.0.1:9"));
    let name = repository(&registry, "files");
    for size in SIZES {
        let content = api::content(size);
        ours.write("cargo", &content);
        let printed = ours.done(&["put", "cargo", &name]).await;
        let expected = api::digest_of(&content);
        assert_eq!(printed, format!("{expected} {size} {name}@{expected} cargo\n"));
        ours.done(&["get", &format!("{name}@{expected}"), "-o", "back"]).await;
        assert!(ours.read("back") == content, "{size}");
        let again = events(&ours.done(&["put", "--json", "cargo", &name]).await);
        assert_eq!(again.last().expect("a result")["outcome"], "exists");
    }
    let streamed = api::content(SIZES[3] + 1);
    let printed = ours.done_with_input(&streamed, &["put", "-", &name]).await;
    assert_eq!(digest(&printed), api::digest_of(&streamed).to_string());

    ours.write("folder/a/b", "b");
    ours.write("folder/c", "c");
    ours.done(&["put", "--recursive", "folder", &format!("{name}:v1")]).await;
    ours.done(&["get", &format!("{name}:v1"), "-o", "restored"]).await;
    assert_eq!((ours.read("restored/a/b"), ours.read("restored/c")), (b"b".to_vec(), b"c".to_vec()));
}

/// A blob in which no mebibyte is like another.
fn large(size: usize) -> Vec<u8> {
    let mut content = api::content(MIB).repeat(size / MIB);
    for (number, block) in content.chunks_mut(MIB).enumerate() {
        block[0] = u8::try_from(number).expect("a hundred of them");
    }
    content
}

pub async fn refused(stack: Arc<Stack>) {
    let registry = open();
    let wire = RoughProxy::in_front_of(
        &registry,
        Roughness { refuse_every: Some(REFUSE_EVERY), ..Roughness::default() },
    );
    let ours = CommandLine::new(&stack, "ours", "http://127.0.0.1:9");
    let content = large(LARGE);
    ours.write("cargo", &content);
    let name = repository(&registry, "large");
    let through_wire = name.replace(host(registry.as_str()), host(wire.url().as_str()));

    let done = ours.run(&["put", "cargo", &through_wire]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let (sent, expected) = (wire.sent(), api::digest_of(&content));
    assert_eq!(digest(&done.stdout), expected.to_string());
    let of = |method: &str| wire.requests().into_iter().filter(|request| request.method == method).collect();
    let (begun, chunks): (Vec<_>, Vec<_>) = (of("POST"), of("PATCH"));
    assert_eq!(begun.iter().filter(|request| request.end == End::Forwarded).count(), 1, "{begun:?}");
    assert!(chunks.iter().any(|request| request.end == End::Refused), "{chunks:?}");
    let twice = sent.bodies - LARGE as u64;
    assert!(twice < LARGE as u64 / 10, "{twice} bytes were sent again: {sent:?}, {}", done.stderr);

    ours.done(&["get", &format!("{name}@{expected}"), "-o", "back"]).await;
    assert!(ours.read("back") == content);
}

/// What docker-registry got of a broken `PATCH` it keeps, and then finds that no `Location` leads to it any more.
pub async fn lost(stack: Arc<Stack>) {
    let registry = open();
    let wire = Arc::new(FaultProxy::in_front_of(&registry).await);
    let ours = CommandLine::new(&stack, "ours", "http://127.0.0.1:9");
    let content = large(SMALLER);
    ours.write("cargo", &content);
    let name = repository(&registry, "lost");
    let through_wire = name.replace(host(registry.as_str()), host(wire.url().as_str()));
    let cut = Arc::clone(&wire);
    wire.arm(SECOND_PATCH, Strike::After, move || cut.cut());

    let done = ours.run(&["put", "cargo", &through_wire]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!wire.is_armed());
    let expected = api::digest_of(&content);
    assert_eq!(digest(&done.stdout), expected.to_string());
    assert!(done.stderr.contains("broke") && done.stderr.contains("trying again"), "{}", done.stderr);
    ours.done(&["get", &format!("{name}@{expected}"), "-o", "back"]).await;
    assert!(ours.read("back") == content);
}
