//! From settings to a database, a store and a service on both.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Command, FromArgMatches};
use rand::Rng;
use url::Url;

use crate::auth::oidc::Oidc;
use crate::auth::token::TokenIssuer;
use crate::config::{DATABASE, DEFAULT_DATABASE, LimitConfig, ServeConfig, StorageLocation, StoreConfig};
use crate::db::{Db, DbError};
use crate::domain::clock::Clock;
use crate::domain::duration;
use crate::domain::limits::Limits;
use crate::service::{Auth, Service};
use crate::storage::s3::{CopyTerms, S3Settings, UploadKey};
use crate::storage::signed_url::{SIGNING_KEY_LENGTH, UrlSigner};
use crate::storage::{Filesystem, S3, Storage};

const UNREACHABLE: &str = "cannot reach the database; check --database, and that the server is up";
const MADE_BY: &str = "`overside serve` makes it, or name another";
/// One for the request and one for its entry in the audit log.
const MANAGEMENT_CONNECTIONS: u32 = 2;

/// The secret of `--s3-upload-access-key`. No flag: a command line is everybody's to read.
const UPLOAD_SECRET_KEY: &str = "OVERSIDE_S3_UPLOAD_SECRET_KEY";

/// Connects the database, or makes it; brings its schema up to date. For `serve`, `quickstart` and `migrate`.
pub async fn database(config: &StoreConfig) -> anyhow::Result<Db> {
    let db = Db::connect(&config.database, config.database_connections).await.context(UNREACHABLE)?;
    db.migrate().await.context("cannot bring the database's schema up to date")?;
    Ok(db)
}

/// Connects a database that is there and up to date, for commands that work beside a server: one that was named by
/// mistake is not made.
pub async fn existing_database(url: &str, connections: u32) -> anyhow::Result<Db> {
    let db = match Db::connect_existing(url, connections).await {
        Err(missing @ DbError::Missing(_)) => bail!("{missing}; {MADE_BY}"),
        connected => connected.context(UNREACHABLE)?,
    };
    let is_migrated = db.is_migrated().await.context("cannot read the database's schema")?;
    anyhow::ensure!(is_migrated, "the database's schema is not up to date; run `overside migrate` first");
    Ok(db)
}

/// The database of commands that are told of none.
pub fn default_database() -> String {
    env::var(DATABASE).unwrap_or_else(|_| DEFAULT_DATABASE.to_owned())
}

/// A bucket, named but not asked.
pub async fn s3(config: &StoreConfig, bucket: &str, prefix: &str, clock: &Clock) -> anyhow::Result<S3> {
    let endpoint = |url: &Option<Url>| url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
    let key = upload_key(config)?;
    let settings = S3Settings {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        endpoint: endpoint(&config.s3_endpoint),
        public_endpoint: endpoint(&config.s3_public_endpoint),
        path_style: config.s3_path_style,
    };
    let store = S3::connect(settings, clock).await.with_copy_terms(CopyTerms {
        time_limit: config.copy_timeout,
        avoid_reading_back: config.avoid_reading_back,
    });
    Ok(match key {
        Some(key) => store.with_upload_key(key),
        None => store,
    })
}

fn upload_key(config: &StoreConfig) -> anyhow::Result<Option<UploadKey>> {
    let Some(access_key) = config.s3_upload_access_key.clone() else { return Ok(None) };
    let secret_key = match (&config.s3_upload_secret_key_file, env::var(UPLOAD_SECRET_KEY)) {
        (Some(file), _) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read --s3-upload-secret-key-file {}", file.display()))?,
        (None, Ok(secret)) => secret,
        (None, Err(_)) => anyhow::bail!(
            "--s3-upload-access-key has no secret; set {UPLOAD_SECRET_KEY} or name a file with --s3-upload-secret-key-file"
        ),
    };
    Ok(Some(UploadKey { access_key, secret_key: secret_key.trim().to_owned() }))
}

/// Signs URLs that lead back to `--public-url`, or to where each client found this server.
async fn url_signer(config: &StoreConfig, db: &Db, clock: &Clock) -> anyhow::Result<UrlSigner> {
    let mut fresh = [0; SIGNING_KEY_LENGTH];
    rand::rng().fill_bytes(&mut fresh);
    Ok(UrlSigner::new(db.signing_key("upload-url", fresh, clock.now()).await?, config.public_url.clone()))
}

/// A folder; its signed URLs lead to `--public-url`.
pub async fn filesystem(
    config: &StoreConfig,
    path: &Path,
    db: &Db,
    clock: &Clock,
) -> anyhow::Result<Filesystem> {
    let signer = url_signer(config, db, clock).await?;
    let files = Filesystem::open_at(path.to_owned(), signer, clock.clone()).await;
    files.with_context(|| format!("cannot use the folder {}", path.display()))
}

/// Opens the store, or names it: nothing is asked of a bucket yet.
pub async fn storage(config: &StoreConfig, db: &Db, clock: &Clock) -> anyhow::Result<Storage> {
    match &config.storage {
        StorageLocation::File(path) => Ok(Storage::Filesystem(filesystem(config, path, db, clock).await?)),
        StorageLocation::S3 { bucket, prefix } => {
            let store = s3(config, bucket, prefix, clock).await?;
            store.set_pace(db.find_pace(&store.identity()).await?.unwrap_or_default());
            Ok(Storage::S3(store.with_own_urls(url_signer(config, db, clock).await?)))
        }
    }
}

pub const NO_TIME: &str = "cannot read the database's clock, which all replicas share";

/// A service that verifies and publishes nothing, for `cleanup`: it relies on nothing that a probe would show. Makes
/// neither database nor store.
pub async fn service(config: &StoreConfig, limits: Limits) -> anyhow::Result<Arc<Service>> {
    let db = existing_database(&config.database, config.database_connections).await?;
    if let StorageLocation::File(path) = &config.storage {
        anyhow::ensure!(Filesystem::is_at(path), "there is no store at {}; {MADE_BY}", path.display());
    }
    let clock = db.clock().await.context(NO_TIME)?;
    let storage = storage(config, &db, &clock).await?;
    let service = Service::new(db, storage, clock, limits, None);
    service.refresh_settings().await.context("cannot read the settings")?;
    Ok(service)
}

/// A service on a database alone: its store is never asked for anything.
pub async fn management(database: &str) -> anyhow::Result<Arc<Service>> {
    let db = existing_database(database, MANAGEMENT_CONNECTIONS).await?;
    Box::pin(on_database(db, None)).await
}

/// As [`management`], and signs tokens as the servers on this database do.
pub async fn token_issuer(
    database: &str,
    service: String,
    lifetime: Duration,
) -> anyhow::Result<Arc<Service>> {
    let db = existing_database(database, MANAGEMENT_CONNECTIONS).await?;
    let now = db.clock().await.context(NO_TIME)?.now();
    // The servers decide when a key gets a successor.
    let auth =
        Auth::open(&db, TokenIssuer { service, lifetime }, Oidc::new(&[])?, duration::LONGEST, now).await;
    Box::pin(on_database(db, Some(auth.context(NO_TOKEN_KEYS)?))).await
}

async fn on_database(db: Db, auth: Option<Auth>) -> anyhow::Result<Arc<Service>> {
    let clock = db.clock().await.context(NO_TIME)?;
    let signer = UrlSigner::new([0; SIGNING_KEY_LENGTH], None);
    let store = Storage::Filesystem(Filesystem::unopened(PathBuf::from("/dev/null"), signer, clock.clone()));
    let matches = LimitConfig::augment_args(Command::new("limits")).try_get_matches_from(["limits"])?;
    let limits = LimitConfig::from_arg_matches(&matches)?.limits();
    let service = Service::new(db, store, clock, limits, auth);
    service.refresh_settings().await.context("cannot read the settings")?;
    Ok(service)
}

const NO_TOKEN_KEYS: &str = "cannot read the keys that tokens are signed with";

/// What signs and checks tokens.
pub async fn auth(config: &ServeConfig, db: &Db, clock: &Clock) -> anyhow::Result<Auth> {
    let issuer = TokenIssuer { service: config.token_service.clone(), lifetime: config.token_lifetime };
    let oidc = Oidc::new(&config.oidc).context("cannot set up a client for OIDC issuers")?;
    let auth = Auth::open(db, issuer, oidc, config.token_key_lifetime, clock.now()).await;
    auth.context(NO_TOKEN_KEYS)
}
