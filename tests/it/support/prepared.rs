//! What almost every story would otherwise do first, done once a run: an empty database is migrated, and a bucket is
//! asked what it can be relied on for.

use std::collections::BTreeMap;

use overside::db::{Db, StoreProbe};
use overside::domain::clock::Clock;
use overside::storage::S3;
use overside::storage::capability::Capabilities;
use overside::storage::probe::PROBE_VERSION;
use tokio::sync::{Mutex, OnceCell};
use url::Url;
use uuid::Uuid;

use super::bucket;
use super::database::{Database, execute, with_path};
use super::store::Store;

/// The file of a migrated SQLite database.
static SQLITE: OnceCell<Vec<u8>> = OnceCell::const_new();
/// The name of a migrated PostgreSQL database that others are copies of.
static POSTGRES: OnceCell<String> = OnceCell::const_new();
/// By endpoint.
static SEEN: Mutex<BTreeMap<Url, Capabilities>> = Mutex::const_new(BTreeMap::new());

/// The bytes of a migrated SQLite database's file.
pub async fn sqlite() -> &'static [u8] {
    let migrate = async || {
        let folder = super::folder();
        let path = folder.path().join("overside.db");
        migrated(&format!("sqlite://{}", path.display())).await;
        std::fs::read(path).expect("the database's file")
    };
    SQLITE.get_or_init(migrate).await
}

/// A database on this server to make copies of.
pub async fn postgres(server: &Url) -> &'static str {
    let migrate = async || {
        let name = format!("template_{}", Uuid::now_v7().as_simple());
        execute(server, format!("CREATE DATABASE {name}")).await;
        migrated(with_path(server, &name).as_str()).await;
        name
    };
    POSTGRES.get_or_init(migrate).await
}

/// Removes what would pile up in servers that outlive the run.
pub async fn remove(server: &Url) {
    if let Some(name) = POSTGRES.get() {
        execute(server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    }
}

async fn migrated(url: &str) {
    let db = Db::connect(url, 1).await.expect("a database of our own");
    db.migrate().await.expect("the migrations run");
    // A copy is made of nothing that is in use, and of SQLite's file alone.
    db.close().await;
}

/// What the server at this address can do, as the service sees it; asked once for all trials, which are many.
pub async fn seen(endpoint: &Url, bucket: &S3) -> Capabilities {
    let mut servers = SEEN.lock().await;
    if let Some(seen) = servers.get(endpoint) {
        return seen.clone();
    }
    // A store without uploads in parts has nothing that can be relied on.
    let seen = bucket.probe().await.unwrap_or_default();
    servers.insert(endpoint.clone(), seen.clone());
    seen
}

/// Leaves in a story's database what a service that had started on its store before would have left there; with a
/// proxy, one that has its store through that, and its clients not.
pub async fn probed(store: &Store, database: &Database, proxy: Option<&Url>) {
    let Store::S3 { endpoint, prefix, .. } = store else { return };
    let (mut settings, config) = (bucket::settings(endpoint, prefix), bucket::config(store.keys()));
    let capabilities = seen(endpoint, &S3::with_config(settings.clone(), &config)).await;
    if let Some(proxy) = proxy {
        settings.public_endpoint = settings.endpoint.replace(bucket::address(proxy));
    }
    let capabilities = serde_json::to_value(capabilities).expect("capabilities are JSON");
    let probe = StoreProbe { capabilities, probed_at: Clock::System.now() };
    let db = Db::connect(&database.url(), 1).await.expect("the story's database");
    let identity = S3::with_config(settings, &config).identity();
    db.save_probe(&identity, PROBE_VERSION, &probe).await.expect("a probe is kept");
    db.close().await;
}
