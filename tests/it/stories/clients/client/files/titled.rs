//! Files that keep their names, and what `ls` shows of them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::NAME;
use crate::support::api::{self, Repository};
use crate::support::command_line::digest;
use crate::support::image::{self, CONFIG, LAYER, Manifest};
use crate::support::{CommandLine, Stack};

const TAGGED: &str = "team/cargo:v1";
const CREATED: &str = "2026-11-28T10:20:30Z";

pub async fn restored(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    let files = [("model.bin", 5_000), ("data/a.parquet", 70_000), ("data/b.parquet", 70_001)];
    for (name, size) in files {
        ours.write(name, api::content(size));
    }

    let printed = ours.done(&["put", "model.bin", TAGGED]).await;
    assert_eq!(printed, format!("{} {TAGGED}\n", digest(&printed)));
    ours.done(&["get", TAGGED, "-o", "back"]).await;
    assert!(ours.read("back/model.bin") == api::content(5_000));
    // The same file makes the same artifact, also under another name here.
    ours.write("elsewhere", api::content(5_000));
    let again = ours.done(&["put", "elsewhere", "team/other:v1", "--title", "model.bin"]).await;
    assert_eq!(digest(&again), digest(&printed));

    ours.done_with_input(b"INSERT", &["put", "-", "team/backups:2026-11-28", "--title", "daily/dump.sql"])
        .await;
    ours.done(&["get", "team/backups:2026-11-28", "-o", "back"]).await;
    assert_eq!(ours.read("back/daily/dump.sql"), b"INSERT");

    ours.done(&["put", "data/*.parquet", "team/data:v1"]).await;
    ours.done(&["get", "team/data:v1", "-o", "both"]).await;
    for (name, size) in &files[1..] {
        assert!(ours.read(&name.replace("data/", "both/")) == api::content(*size), "{name}");
    }
    // Without a tag they are blobs, and a line says which.
    let blobs = ours.done(&["put", "data/*.parquet", "team/data"]).await;
    let ends: Vec<_> = blobs.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(ends, ["data/a.parquet", "data/b.parquet"]);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());

    for (bad_usage, told) in [
        (&["put", "-", TAGGED][..], "--title"),
        (&["put", "model.bin", "data/a.parquet", TAGGED, "--title", "x"], "one file"),
        (&["put", "model.bin", TAGGED, "--title", "../up"], "\"../up\""),
        (&["put", "model.bin", "back/model.bin", TAGGED], "two of the files"),
        (&["put", "model.bin", NAME, "--title", "x"], "write team/cargo:TAG"),
        (&["put", "--recursive", "data", NAME], "write team/cargo:TAG"),
    ] {
        let complaint = ours.failed(2, bad_usage).await;
        assert!(complaint.starts_with("error: ") && complaint.contains(told), "{bad_usage:?}: {complaint}");
    }
}

pub async fn listed(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    ours.write("folder/a", "a");
    ours.write("folder/day 1/b", "of b");
    let files = ours.done(&["put", "--recursive", "folder", &format!("{NAME}:files")]).await;
    let there = Repository::of(server.base_url(), NAME);
    let config = json!({ "created": CREATED, "os": "linux", "architecture": "arm64" }).to_string();
    there.push(config.as_bytes()).await;
    there.push(b"a layer").await;
    let image =
        image::image(&image::descriptor(CONFIG, config.as_bytes()), &[image::descriptor(LAYER, b"a layer")]);
    there.put("image", &image).await.expect(201);
    let mut child = image.descriptor();
    child["platform"] = json!({ "os": "linux", "architecture": "arm64" });
    let index: Manifest = image::index(&[child]);
    there.put("index", &index).await.expect(201);

    let [a, b] = ["a", "of b"].map(|content| api::digest_of(content.as_bytes()));
    let of_files = format!("{} 7 -\n  {a} 1 a\n  {b} 4 day 1/b\n", digest(&files));
    let size = config.len() + 7;
    let of_image = format!("{} {size} {CREATED}\n", image.digest());
    let of_index =
        format!("{} - -\n  {} {} linux/arm64\n", index.digest(), image.digest(), image.payload.len());
    let all = format!("files {of_files}image {of_image}index {of_index}");
    assert_eq!(ours.done(&["ls", NAME]).await, all);
    let host = server.base_url().trim_start_matches("http://");
    assert_eq!(ours.done(&["ls", &format!("{host}/{NAME}")]).await, all);
    assert_eq!(ours.done(&["ls", &format!("{NAME}:image")]).await, format!("image {of_image}"));
    assert_eq!(ours.done(&["ls", host]).await, format!("{NAME}\n"));
    let told: Value = serde_json::from_str(&ours.done(&["ls", "--json", NAME]).await).expect("JSON");
    assert_eq!((&told[0]["tag"], &told[0]["files"][1]["name"]), (&"files".into(), &"day 1/b".into()));
    assert_eq!((&told[1]["created"], &told[1]["size"]), (&CREATED.into(), &size.into()));

    for missing in ["team/none", &format!("{NAME}:none")] {
        let complaint = ours.failed(1, &["ls", missing]).await;
        assert!(complaint.contains(missing), "{complaint}");
    }
}
