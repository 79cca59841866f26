//! The suites that every backend must pass alike, one trial per case and backend.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use libtest_mimic::Trial;
use overside::db::Db;
use overside::domain::clock::Clock;
use overside::storage::capability::{Capabilities, Capability};
use overside::storage::signed_url::{SIGNING_KEY_LENGTH, UrlSigner};
use overside::storage::{Filesystem, S3, Storage};
use url::Url;

use crate::support::database::Database;
use crate::support::other_store::OtherStore;
use crate::support::servers::Servers;
use crate::support::trial::{left_out, trial};
use crate::support::{self, Store, bucket, prepared};

/// Connections of one case's pool: enough for the cases that race, few enough for many trials side by side.
const CONNECTIONS: u32 = 8;
/// Any key does: these URLs are checked by the process that signed them.
const SIGNING_KEY: [u8; SIGNING_KEY_LENGTH] = [7; SIGNING_KEY_LENGTH];

/// The case that migrates for itself.
const ON_EMPTY: &str = "migrating_twice_and_at_once_is_fine";

type StorageCase = fn(Arc<Storage>) -> BoxFuture<'static, ()>;
type Case<T> = (&'static str, fn(Arc<T>) -> BoxFuture<'static, ()>);

/// Every database case on SQLite and PostgreSQL.
pub fn database(cases: Vec<Case<Db>>, servers: &Servers) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, case) in cases {
        trials.push(trial(format!("database::sqlite::{name}"), move || async move {
            let folder = support::folder();
            on_database(&Database::sqlite(folder.path(), name != ON_EMPTY).await, case).await;
        }));
        let server = servers.postgres.clone();
        let is_missing = server.is_none();
        let postgres = trial(format!("database::postgres::{name}"), move || async move {
            on_database(&Database::postgres(&given(server), name != ON_EMPTY).await, case).await;
        });
        trials.push(postgres.with_ignored_flag(is_missing));
    }
    trials
}

/// Every storage case on the filesystem, SeaweedFS and LocalStack, and on the other stores that are there.
pub fn storage(cases: Vec<Case<Storage>>, servers: &Servers) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, case) in cases {
        trials.push(trial(format!("storage::filesystem::{name}"), move || async move {
            let folder = support::folder();
            on_store(&Store::filesystem(folder.path()), case).await;
        }));
        let buckets = [("seaweedfs", &servers.seaweedfs), ("localstack", &servers.localstack)];
        for (store, endpoint) in buckets.into_iter().take(if servers.is_full { 2 } else { 1 }) {
            let endpoint = endpoint.clone();
            let is_missing = endpoint.is_none();
            let bucket = trial(format!("storage::{store}::{name}"), move || async move {
                on_store(&Store::s3(&given(endpoint)), case).await;
            });
            trials.push(bucket.with_ignored_flag(is_missing));
        }
        for (store, endpoint) in &servers.other_stores {
            trials.push(on_other(*store, endpoint.clone(), name, case));
        }
    }
    trials
}

/// Where the store cannot do what the case is about, the trial says so and is not run.
fn on_other(store: OtherStore, endpoint: Url, case: &'static str, run: StorageCase) -> Trial {
    let name = format!("storage::{}::{case}", store.name());
    match store.cannot(case) {
        Some(why) => left_out(name, why),
        None => trial(name, move || async move { on_store(&Store::other(store, &endpoint), run).await }),
    }
}

fn given(address: Option<Url>) -> Url {
    address.expect("a trial whose server is missing is only run when --include-ignored asks for it")
}

async fn on_database(database: &Database, case: fn(Arc<Db>) -> BoxFuture<'static, ()>) {
    let db = Db::connect(&database.url(), CONNECTIONS).await.expect("the database opens");
    case(Arc::new(db)).await;
    database.remove().await;
}

async fn on_store(store: &Store, case: fn(Arc<Storage>) -> BoxFuture<'static, ()>) {
    case(Arc::new(open(store).await)).await;
    store.remove().await;
}

/// What the suite takes the server at this address to be able to do.
async fn taken_for(endpoint: &Url, bucket: &S3) -> Capabilities {
    let seen = prepared::seen(endpoint, bucket).await;
    if seen.url_guards().is_some() {
        return seen;
    }
    // The suite is about what a store does with its URLs, not about what strangers make of them.
    let relied_on = seen.iter().map(|(capability, _)| capability).filter(|capability| seen.has(*capability));
    let urls = Capability::FOR_URLS.into_iter().chain([Capability::CopySourceRefused]);
    Capabilities::seen(relied_on.chain(urls).collect::<Vec<_>>())
}

async fn open(store: &Store) -> Storage {
    match store {
        Store::S3 { endpoint, prefix, other, .. } => {
            let settings = bucket::settings(endpoint, prefix);
            let bucket = match other {
                // As `overside` does: keys and region come from the environment.
                None => S3::connect(settings, &Clock::System).await,
                Some(_) => S3::with_config(settings, &bucket::config(store.keys())),
            };
            bucket.set_capabilities(taken_for(endpoint, &bucket).await);
            Storage::S3(bucket)
        }
        Store::Filesystem { root } => {
            // Nothing listens there: the cases hand such a request to the backend themselves.
            let base = Url::parse("http://127.0.0.1:1").expect("a URL");
            let signer = UrlSigner::new(SIGNING_KEY, Some(base));
            let opened = Filesystem::open_at(root.clone(), signer, Clock::System).await;
            Storage::Filesystem(opened.expect("a folder of our own"))
        }
    }
}
