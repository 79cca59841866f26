//! What is on a foreign registry, and its end.

use std::sync::Arc;

use serde_json::Value;

use super::{open, repository};
use crate::support::command_line::{digest, host};
use crate::support::{CommandLine, Stack, api};

pub async fn story(stack: Arc<Stack>) {
    let (registry, ours) = (open(), CommandLine::new(&stack, "ours", "http://127.0.0.1:9"));
    let name = repository(&registry, "looks");
    ours.write("folder/a", "a");
    ours.write("folder/b", "b");
    let [one, two] = ["v1", "v2"].map(|tag| format!("{name}:{tag}"));
    let first = ours.done(&["put", "--recursive", "folder", &one]).await;
    ours.write("folder/c", "c");
    let second = ours.done(&["put", "--recursive", "folder", &two]).await;

    let listed = ours.done(&["ls", host(registry.as_str())]).await;
    let path = name.split_once('/').expect("a path").1;
    assert!(listed.lines().any(|line| line == path), "{listed}");
    assert_eq!(ours.done(&["tags", &name]).await, "v1\nv2\n");
    assert_eq!(ours.done(&["tags", "--json", &name]).await, "[\"v1\",\"v2\"]\n");
    let raw = ours.done(&["inspect", "--raw", &two]).await;
    assert_eq!(api::digest_of(raw.as_bytes()).to_string(), digest(&second));
    let told: Value = serde_json::from_str(&ours.done(&["inspect", "--json", &one]).await).expect("JSON");
    assert_eq!(told["descriptor"]["digest"], digest(&first));
    assert_eq!(told["manifest"]["layers"].as_array().expect("layers").len(), 2);
    let shown = ours.done(&["inspect", &two]).await;
    assert_eq!(shown.lines().filter(|line| line.starts_with("layer ")).count(), 3, "{shown}");
    assert_eq!(ours.done(&["referrers", &one]).await, "");

    assert_eq!(ours.done(&["tag", &one, "also"]).await, format!("{} {name}:also\n", digest(&first)));
    // It knows no deletion of a tag, and a manifest is more than was asked for.
    let by_digest = format!("{name}@{}", digest(&first));
    let complaint = ours.failed(1, &["rm", &one]).await;
    for told in ["deletes no tag by itself", "(also, v1)", &format!("overside rm {by_digest}")] {
        assert!(complaint.contains(told), "{told}: {complaint}");
    }
    assert_eq!(ours.done(&["tags", &name]).await.lines().count(), 3);
    let gone = format!("{name}:also\n{one}\n{by_digest}\n");
    assert_eq!(ours.done(&["rm", "--dry-run", &by_digest]).await, gone);
    ours.failed(1, &["rm", &by_digest]).await;
    assert_eq!(ours.done(&["rm", "--yes", &by_digest]).await, gone);
    assert_eq!(ours.done(&["tags", &name]).await, "v2\n");
    ours.failed(1, &["inspect", &one]).await;
    ours.failed(1, &["rm", &one]).await;
    let gone = format!("{two}\n{name}@{}\n", digest(&second));
    assert_eq!(ours.done(&["rm", "--repository", "--yes", &name]).await, gone);
    assert_eq!(ours.done(&["tags", &name]).await, "");

    let blob = format!("{name}@{}", api::digest_of(b"c"));
    ours.done(&["get", &blob, "-o", "c"]).await;
    ours.done(&["rm", "--blob", &blob]).await;
    ours.failed(1, &["get", &blob, "-o", "c"]).await;
    ours.failed(1, &["rm", "--blob", &blob]).await;
}
