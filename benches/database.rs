//! What a session costs the database: `cargo bench --bench database`. On SQLite always; on PostgreSQL where
//! `OVERSIDE_TEST_POSTGRES` says where one is.

use std::env;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, criterion_group, criterion_main};
use overside::db::{Committed, Db};
use overside::domain::blob::{Blob, Placement, Proof};
use overside::domain::clock::Clock;
use overside::domain::digest::Digest;
use overside::domain::upload::{Lease, Upload};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::runtime::Runtime;
use uuid::Uuid;

const POSTGRES: &str = "OVERSIDE_TEST_POSTGRES";
/// A commit that waits for a disk takes milliseconds: fewer samples than criterion's hundred.
const SAMPLES: usize = 30;
/// One client: what is measured is the way to the database and back, not what it does side by side.
const CONNECTIONS: u32 = 1;

fn now() -> DateTime<Utc> {
    Clock::System.now()
}

/// What a `POST` with `presigned=true` inserts for one PUT.
fn begun(digest: Digest) -> Upload {
    let name = "bench/blob".parse().expect("a name");
    let metadata = serde_json::json!({ "user_agent": "bench" });
    let upload = Upload::begin(name, None, metadata, now(), now() + TimeDelta::days(1));
    upload.into_put(Some(65_536), Some(digest), now()).expect("a session just begun")
}

fn fresh_digest() -> Digest {
    let (high, low) = (Uuid::new_v4(), Uuid::new_v4());
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(high.as_bytes());
    bytes[16..].copy_from_slice(low.as_bytes());
    Digest::from_sha256(bytes)
}

async fn begin(db: &Db, upload: &Upload) {
    db.insert_upload(upload, "temp/bench/").await.expect("an insert");
}

/// The statements of one finalize of a PUT, in their order.
async fn finalize(db: &Db, upload: &Upload, digest: Digest) {
    let before = db.find_upload(upload.id).await.expect("an answer").expect("the session");
    let lease = Lease { owner: Uuid::new_v4(), expires_at: now() + TimeDelta::minutes(1) };
    let claimed = before.clone().claim(digest.into(), lease, now()).expect("nobody else has it");
    let time = now();
    assert!(db.swap_upload(&before, &claimed, time).await.expect("a swap"));
    let claimed = claimed.persisted(time);
    assert_eq!(db.find_blob(&digest).await.expect("an answer"), None);
    let done = claimed.clone().complete(lease.owner, 65_536).expect("our lease");
    let blob = Blob {
        digest,
        size: 65_536,
        proof: Proof::StoreChecksum,
        created_at: now(),
        placement: Placement::Placed,
    };
    assert_eq!(
        db.commit_blob(&claimed, &done, &blob, now(), None, None).await.expect("a commit"),
        Committed::Done
    );
    db.mark_discarded(&[upload.id], now()).await.expect("a mark");
}

fn measure(criterion: &mut Criterion, runtime: &Runtime, name: &str, db: &Db) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(SAMPLES);
    group.bench_function("begin", |bencher| {
        bencher.iter(|| runtime.block_on(begin(db, &begun(Digest::EMPTY))));
    });
    group.bench_function("finalize", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let digest = fresh_digest();
                let upload = begun(digest);
                runtime.block_on(begin(db, &upload));
                let started = Instant::now();
                runtime.block_on(finalize(db, &upload, digest));
                spent += started.elapsed();
            }
            spent
        });
    });
    group.finish();
}

async fn open(url: &str) -> Db {
    let db = Db::connect(url, CONNECTIONS).await.expect("the database opens");
    db.migrate().await.expect("the migrations run");
    db
}

async fn execute(server: &str, statement: String) {
    let mut connection = PgConnection::connect(server).await.expect("PostgreSQL answers");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.expect("a database of our own");
}

fn databases(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let sqlite = runtime.block_on(open(&format!("sqlite://{}", folder.path().join("bench.db").display())));
    measure(criterion, &runtime, "sqlite", &sqlite);
    runtime.block_on(sqlite.close());

    let Ok(server) = env::var(POSTGRES) else {
        eprintln!("PostgreSQL is left out: {POSTGRES} is not set");
        return;
    };
    let name = format!("bench_{}", Uuid::now_v7().as_simple());
    let mut url = url::Url::parse(&server).expect("a URL");
    url.set_path(&name);
    runtime.block_on(execute(&server, format!("CREATE DATABASE {name}")));
    let postgres = runtime.block_on(open(url.as_str()));
    measure(criterion, &runtime, "postgres", &postgres);
    runtime.block_on(postgres.close());
    runtime.block_on(execute(&server, format!("DROP DATABASE {name} WITH (FORCE)")));
}

criterion_group!(benches, databases);
criterion_main!(benches);
