//! What a batch costs, and what it takes when it comes again.

use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::join_all;
use overside::domain::access::Role;
use overside::domain::upload::{Lease, State, Transfer, Upload, UploadId};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{Lfs, NAME, nothing_is_left, object, put, verify};
use crate::stories::upkeep::quotas::usage;
use crate::support::api::{content, database, seeded_content};
use crate::support::trial::not_here;
use crate::support::{Accounts, FaultProxy, Stack, StackKind, Store};

/// To the database while a batch is answered, with what replicas tell each other meanwhile. One for each object would be a
/// thousand.
const MOST_REQUESTS: u64 = 50;

/// The upload that an object's verify names.
fn upload_of(answered: &Value) -> UploadId {
    let href = answered["actions"]["verify"]["href"].as_str().expect("a URL");
    let id = href.split("/uploads/").nth(1).and_then(|rest| rest.split('/').next()).expect("an id");
    id.parse().expect("a UUID")
}

fn thousand() -> Vec<Value> {
    (0..1_000_u64).map(|number| object(&seeded_content(number, 50))).collect()
}

pub async fn statements(stack: Arc<Stack>) {
    let (StackKind::PostgresSeaweedFs, Store::S3 { endpoint, .. }) = (stack.kind, &stack.store) else {
        not_here("there is no wire to count on")
    };
    let to_database = FaultProxy::in_front_of(&Url::parse(&stack.database.url()).expect("a URL")).await;
    let to_store = FaultProxy::in_front_of(endpoint).await;
    let mut command = stack.binary();
    // Nothing but the batches asks anything.
    command.args(["serve", "--clean-interval", "1h"]);
    command.env("OVERSIDE_DATABASE", to_database.url().as_str());
    command.env("OVERSIDE_S3_ENDPOINT", to_store.url().as_str().trim_end_matches('/'));
    let log = stack.folder().join("counted.log");
    let server = crate::support::process::Server::start(&mut command, &log).await;
    let lfs = Lfs::of(&server, NAME);
    // Connections are made, and statements prepared.
    for operation in ["upload", "download"] {
        lfs.batch(operation, &[object(b"first")]).await.expect(200);
    }
    for operation in ["upload", "upload", "download"] {
        let (asked, stored) = (to_database.requests(), to_store.requests());
        let answer = lfs.batch(operation, &thousand()).await.expect(200).json();
        assert_eq!(answer["objects"].as_array().map(Vec::len), Some(1_000));
        let requests = to_database.requests() - asked;
        assert!(requests <= MOST_REQUESTS, "{operation}: {requests} requests to the database");
        assert_eq!(to_store.requests() - stored, 0, "{operation}");
    }
}

pub async fn again(stack: Arc<Stack>) {
    let server = stack.guarded_server(&[]).await;
    let accounts = Accounts::of(&stack).await;
    accounts.project("team", false).await;
    let login = accounts.user_as("dev", "team", Role::Developer).await;
    let other = accounts.user_as("other", "team", Role::Developer).await;
    let lfs = Lfs::of(&server, NAME).by(&login);
    let bytes = content(4_000);
    let first = lfs.one("upload", &bytes).await;
    let second = lfs.one("upload", &bytes).await;
    assert_eq!(upload_of(&first), upload_of(&second), "an open upload of the same is gone on with");
    // Nobody else's, and none of another repository.
    let others = lfs.by(&other).one("upload", &bytes).await;
    assert_ne!(upload_of(&first), upload_of(&others));
    let elsewhere = Lfs::of(&server, "team/elsewhere").by(&login).one("upload", &bytes).await;
    assert_ne!(upload_of(&first), upload_of(&elsewhere));

    // As if it were about to end: the batch that goes on with it puts that off.
    let db = database(&stack).await;
    let row = db.find_upload(upload_of(&first)).await.expect("an answer").expect("a row");
    let now = overside::domain::clock::Clock::System.now();
    let ending = Upload { expires_at: now + TimeDelta::minutes(1), ..row.clone() };
    assert!(db.swap_upload(&row, &ending, now).await.expect("a swap"));
    assert_eq!(upload_of(&lfs.one("upload", &bytes).await), row.id);
    let row = db.find_upload(row.id).await.expect("an answer").expect("a row");
    assert!(row.expires_at > now + TimeDelta::hours(1), "{}", row.expires_at);
    db.close().await;

    put(&lfs.http, &first["actions"]["upload"], bytes.clone()).await.expect(200);
    verify(&lfs.http, &second, &object(&bytes)).await.expect(200);
    // The other one was faster; both have succeeded.
    put(&lfs.http, &others["actions"]["upload"], bytes.clone()).await.expect(200);
    verify(&lfs.http, &others, &object(&bytes)).await.expect(200);
    verify(&lfs.http, &first, &object(&bytes)).await.expect(200);
    assert_eq!(lfs.one("upload", &bytes).await, object(&bytes));
    assert_eq!(stack.objects().await.len(), 1);
}

pub async fn quota(stack: Arc<Stack>) {
    let server = stack.guarded_server(&[]).await;
    let accounts = Accounts::of(&stack).await;
    accounts.project("team", false).await;
    let login = accounts.user_as("dev", "team", Role::Developer).await;
    stack.database.limit("team", [10_000, -1]).await;
    let lfs = Lfs::of(&server, NAME).by(&login);
    let sizes = [4_000, 7_000, 5_000, 2_000];
    let contents = sizes.map(|size| seeded_content(size as u64, size));
    let objects = contents.clone().map(|content| object(&content));
    for _ in 0..2 {
        let answer = lfs.batch("upload", &objects).await.expect(200).json();
        let fits = |index: usize| answer["objects"][index]["actions"]["upload"]["href"].is_string();
        assert_eq!([0, 1, 2, 3].map(fits), [true, false, true, false], "{answer}");
        for index in [1, 3] {
            assert_eq!(answer["objects"][index]["error"]["code"], 507, "{answer}");
        }
        assert_eq!(usage(&stack, "team").await, [0, 9_000, 0], "a batch that comes again takes no more");
    }
    for index in [0, 2] {
        lfs.push(&contents[index]).await;
    }
    assert_eq!(usage(&stack, "team").await, [9_000, 0, 0]);
    nothing_is_left(&stack).await;
}

pub async fn open(stack: Arc<Stack>) {
    let server = stack.guarded_server(&[]).await;
    let accounts = Accounts::of(&stack).await;
    accounts.project("team", false).await;
    let login = accounts.user_as("dev", "team", Role::Developer).await;
    let set = stack.command(&["config", "set", "open_sessions_per_user", "3", "--database"]).await;
    assert_eq!(set.code, Some(0), "{set:?}");
    // Replicas look at the settings now and then; one that starts has them.
    let server_of_today = stack.guarded_server(&[]).await;
    drop(server);
    let lfs = Lfs::of(&server_of_today, NAME).by(&login);
    let objects: Vec<_> = (1..=5_u64).map(|seed| object(&seeded_content(seed, 100))).collect();
    let answer = lfs.batch("upload", &objects).await.expect(200).json();
    let codes: Vec<_> = (0..5).map(|index| answer["objects"][index]["error"]["code"].as_u64()).collect();
    assert_eq!(codes, [None, None, None, Some(429), Some(429)], "{answer}");
    let refused = lfs.batch("upload", &objects[3..]).await;
    assert_eq!(super::refused(&refused, 429), "too many open uploads of one user; try again in 5 seconds");
    assert!(refused.header("retry-after").is_some());
    // Those that are open are gone on with, also where the others of the batch have to wait for them.
    let answer = lfs.batch("upload", &objects).await.expect(200).json();
    let codes: Vec<_> = (0..5).map(|index| answer["objects"][index]["error"]["code"].as_u64()).collect();
    assert_eq!(codes, [None, None, None, Some(429), Some(429)], "{answer}");
    let answer = lfs.batch("upload", &objects[..3]).await.expect(200).json();
    assert!(answer["objects"][2]["actions"]["upload"].is_object(), "{answer}");
}

pub async fn three(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let lfs = Lfs::of(&server, NAME);
    let bytes = content(6 << 20);
    let asked = lfs.one("upload", &bytes).await;
    put(&lfs.http, &asked["actions"]["upload"], bytes.clone()).await.expect(200);
    let said = object(&bytes);
    let verified = join_all((0..3).map(|_| verify(&lfs.http, &asked, &said))).await;
    for answer in verified {
        assert_eq!(answer.expect(200).json(), json!({}));
    }
    verify(&lfs.http, &asked, &said).await.expect(200);
    assert_eq!(stack.objects().await.len(), 1);
    nothing_is_left(&stack).await;
}

/// As if another replica were proving it.
pub async fn proving(stack: Arc<Stack>) {
    let server = stack.server(&["--clean-interval", "1h"]).await;
    let lfs = Lfs::of(&server, NAME);
    let bytes = content(4_000);
    let asked = lfs.one("upload", &bytes).await;
    put(&lfs.http, &asked["actions"]["upload"], bytes.clone()).await.expect(200);
    let db = database(&stack).await;
    let row = db.find_upload(upload_of(&asked)).await.expect("an answer").expect("a row");
    let now = overside::domain::clock::Clock::System.now();
    let lease = Lease { owner: Uuid::nil(), expires_at: now + TimeDelta::seconds(3) };
    let digest = row.declared_digest.expect("a digest");
    let state = State::Finalizing { transfer: Transfer::Put, claim: digest.into(), lease };
    assert!(db.swap_upload(&row, &Upload { state, ..row.clone() }, now).await.expect("a swap"));
    db.close().await;
    let said = object(&bytes);
    let (again, verified) = tokio::join!(lfs.one("upload", &bytes), verify(&lfs.http, &asked, &said));
    verified.expect(200);
    assert_eq!(again, object(&bytes), "it has waited, and nothing is to be sent again");
}
