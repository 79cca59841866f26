//! Objects on their way there and back.

use std::sync::Arc;

use overside::db::Db;
use serde_json::json;
use url::Url;

use super::{NEWEST, Person, WORK, lfs_url};
use crate::stories::clients::{Client, assert_stored};
use crate::support::api::{self, Answer, digest_of, seeded_content};
use crate::support::process::Server;
use crate::support::{FaultProxy, Stack, Store, Strike};

/// By name and size: one of several parts' size, one that is smaller than its headers, and one that git-lfs would take for
/// a page.
const FILES: [(&str, usize); 3] = [("weights.bin", 12_000_000), ("small.bin", 100), ("page.bin", 5_000)];
const PAGE: &[u8] = b"<!DOCTYPE html><html><body>";
/// One hundredth of it is much more than what a push of it says.
const LARGE: usize = 96 << 20;
const LARGE_IN_FULL: usize = 320 << 20;
/// Each is a push's share of a batch, a PUT and a verify: a busy machine takes minutes for a thousand.
const MANY: usize = 300;

fn content_of(name: &str, size: usize) -> Vec<u8> {
    let mut content = seeded_content(size as u64, size);
    if name.starts_with("page") {
        content[..PAGE.len()].copy_from_slice(PAGE);
    }
    content
}

async fn wire(server: &Server) -> FaultProxy {
    FaultProxy::in_front_of(&Url::parse(server.base_url()).expect("a URL")).await
}

/// Sessions that there have been, open or ended.
async fn sessions(stack: &Stack) -> i64 {
    let db = api::database(stack).await;
    let sql = "SELECT COUNT(*) FROM blob_upload_session";
    let count: i64 = match &db {
        Db::Postgres(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.expect("a count"),
        Db::Sqlite(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.expect("a count"),
    };
    db.close().await;
    count
}

pub async fn pushed(stack: Arc<Stack>, client: Client) {
    let server = stack.server(&[]).await;
    let writer = Person::new(&stack, client, "writer").await;
    writer.begin(&lfs_url(server.base_url())).await;
    for (name, size) in FILES {
        writer.write(name, &content_of(name, size));
    }
    writer.commit().await;
    writer.push().await;
    assert_eq!(sessions(&stack).await, 3);
    // What is there is not sent again, whatever commit names it.
    std::fs::copy(writer.path("weights.bin"), writer.path("copy.bin")).expect("a copy");
    writer.commit().await;
    writer.push().await;
    writer.git(WORK, &["lfs", "push", "--all", "origin"]).await;
    assert_eq!(sessions(&stack).await, 3);

    let reader = Person::new(&stack, client, "reader").await;
    reader.clone().await;
    for (name, size) in FILES {
        assert!(reader.read(name) == content_of(name, size), "{name}");
    }
    assert_stored(&stack, FILES.len()).await;
    writer.write("weights.bin", &content_of("weights.bin", 3_000_000));
    writer.commit().await;
    writer.push().await;
    reader.git(WORK, &["pull", "--quiet"]).await;
    assert!(reader.read("weights.bin") == content_of("weights.bin", 3_000_000));
    reader.git(WORK, &["lfs", "fsck"]).await;
    assert_stored(&stack, FILES.len() + 1).await;
}

pub async fn large(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let wire = wire(&server).await;
    let size = if stack.takes_gigabytes() { LARGE_IN_FULL } else { LARGE };
    let writer = Person::new(&stack, NEWEST, "writer").await;
    writer.begin(&lfs_url(wire.url().as_str())).await;
    writer.write("large.bin", &seeded_content(1, size));
    writer.commit().await;
    writer.push().await;
    let reader = Person::new(&stack, NEWEST, "reader").await;
    reader.clone().await;
    assert!(reader.read("large.bin") == seeded_content(1, size));
    let traffic = wire.traffic();
    let through = traffic.to_target + traffic.to_client;
    let hundredth = (size / 100) as u64;
    match stack.store {
        Store::S3 { .. } => assert!(through <= hundredth, "{through} bytes went through the service"),
        Store::Filesystem { .. } => assert!(through >= 2 * size as u64, "{through}"),
    }
    assert_stored(&stack, 1).await;
}

pub async fn many(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let writer = Person::new(&stack, NEWEST, "writer").await;
    writer.begin(&lfs_url(server.base_url())).await;
    for number in 0..MANY {
        writer.write(&format!("{number}.bin"), &seeded_content(number as u64, 64 + number));
    }
    writer.commit().await;
    writer.push().await;
    let reader = Person::new(&stack, NEWEST, "reader").await;
    reader.clone().await;
    for number in 0..MANY {
        let content = reader.read(&format!("{number}.bin"));
        assert!(content == seeded_content(number as u64, 64 + number), "{number}");
    }
    assert_eq!(usize::try_from(sessions(&stack).await), Ok(MANY));
    assert_stored(&stack, MANY).await;
}

/// The line is cut at one moment of a push after the other: each push after the first goes on with its sessions.
pub async fn interrupted(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let wire = Arc::new(wire(&server).await);
    let writer = Person::new(&stack, NEWEST, "writer").await;
    writer.begin(&lfs_url(wire.url().as_str())).await;
    writer.git(WORK, &["config", "lfs.transfer.maxretries", "1"]).await;
    for (name, size) in FILES {
        writer.write(name, &content_of(name, size));
    }
    writer.commit().await;
    // An earlier push has got as far as the answer to its batch.
    let objects = FILES.map(|(name, size)| {
        let oid = digest_of(&content_of(name, size)).hex();
        json!({ "oid": oid, "size": size })
    });
    let batch = json!({ "operation": "upload", "transfers": ["basic"], "objects": objects });
    let url = format!("{}/objects/batch", lfs_url(server.base_url()));
    Answer::to(crate::support::http().post(url).json(&batch)).await.expect(200);
    assert_eq!(sessions(&stack).await, 3);
    for request in 1..=4 {
        for strike in [Strike::Before, Strike::After] {
            let line = Arc::clone(&wire);
            wire.arm(request, strike, move || line.cut());
            // Whether it fails is up to what was cut.
            let _ = writer.machine.run(&mut writer.command(WORK, &["push", "origin", "main"])).await;
        }
    }
    writer.push().await;
    assert_eq!(sessions(&stack).await, 3);
    let reader = Person::new(&stack, NEWEST, "reader").await;
    reader.clone().await;
    for (name, size) in FILES {
        assert!(reader.read(name) == content_of(name, size), "{name}");
    }
    assert_stored(&stack, FILES.len()).await;
}
