//! Wiring: from settings to a service that listens, and its end in good order.

use std::convert::Infallible;
use std::env;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rand::Rng;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use url::Url;

use crate::auth::oidc::Oidc;
use crate::auth::password::Password;
use crate::auth::token::TokenIssuer;
use crate::config::{AuthMode, ServeConfig, StorageLocation, StoreConfig};
use crate::db::{Db, StoreProbe};
use crate::domain::clock::Clock;
use crate::domain::part::DEFAULT_PART_SIZE;
use crate::http;
use crate::http::connections::{Connections, Lingering, Occupied, Terms, Watched};
use crate::http::gate::{Peer, forwarded_for};
use crate::service::{Auth, FirstAdministrator, Limits, Service};
use crate::storage::probe::{Capabilities, Capability, PROBE_VERSION};
use crate::storage::s3::{CopyTerms, S3Settings, UploadKey};
use crate::storage::signed_url::{SIGNING_KEY_LENGTH, UrlSigner};
use crate::storage::{Filesystem, S3, Storage, UploadKind};
use crate::worker;

/// A request's head must be here within this; also how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// Read from a connection at once, and the longest head of a request. Every read wakes the task that takes the
/// body: a quarter of this costs a fifth more CPU, more than this gained nothing. Left to itself hyper goes to
/// 400 KiB. What a store keeps of a body lies in these buffers: the sizes in `storage::rope` follow from it.
const READ_BUFFER: usize = 256 * 1024;
/// Saving what is in flight once the grace is over; orchestrators kill about 30 s after SIGTERM.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(4);
/// Pause after `accept` failed: out of file descriptors, most likely, and spinning frees none.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The secret of `--s3-upload-access-key`. No flag: a command line is everybody's to read.
const UPLOAD_SECRET_KEY: &str = "OVERSIDE_S3_UPLOAD_SECRET_KEY";

/// Connects the database; brings its schema up to date.
pub async fn open_database(config: &StoreConfig) -> anyhow::Result<Db> {
    let db = Db::connect(&config.database, config.database_connections)
        .await
        .context("cannot reach the database; check --database, and that the server is up")?;
    db.migrate().await.context("cannot bring the database's schema up to date")?;
    Ok(db)
}

/// A bucket, named but not asked.
pub async fn connect_s3(
    config: &StoreConfig,
    bucket: &str,
    prefix: &str,
    clock: &Clock,
) -> anyhow::Result<S3> {
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

/// Signs URLs that lead back to `--public-url`.
async fn url_signer(config: &StoreConfig, db: &Db, clock: &Clock) -> anyhow::Result<UrlSigner> {
    let public_url = config.public_url.clone().map_or_else(|| Url::parse("http://127.0.0.1"), Ok)?;
    let mut fresh = [0; SIGNING_KEY_LENGTH];
    rand::rng().fill_bytes(&mut fresh);
    Ok(UrlSigner::new(db.signing_key("upload-url", fresh, clock.now()).await?, public_url))
}

/// A folder; its signed URLs lead to `--public-url`.
pub async fn open_filesystem(
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
async fn open_storage(config: &StoreConfig, db: &Db, clock: &Clock) -> anyhow::Result<Storage> {
    match &config.storage {
        StorageLocation::File(path) => {
            Ok(Storage::Filesystem(open_filesystem(config, path, db, clock).await?))
        }
        StorageLocation::S3 { bucket, prefix } => {
            let store = connect_s3(config, bucket, prefix, clock).await?;
            store.set_pace(db.find_pace(&store.identity()).await?.unwrap_or_default());
            Ok(Storage::S3(store.with_own_urls(url_signer(config, db, clock).await?)))
        }
    }
}

/// Of a service that nobody uploads to.
const NO_UPLOADS: Limits = Limits {
    upload_lifetime: Duration::ZERO,
    url_lifetime: Duration::ZERO,
    lease: Duration::ZERO,
    part_size: DEFAULT_PART_SIZE,
    max_blob_size: 0,
    sweep_grace: Duration::MAX,
    collect_grace: Duration::MAX,
    retention: Duration::MAX,
};

const NO_TIME: &str = "cannot read the database's clock, which all replicas share";
const UNUSABLE: &str = "cannot use the store; `overside doctor` says what is wrong";

/// Sees what a bucket can be relied on for, or takes over what was seen of it lately.
async fn probe(storage: &Storage, db: &Db, clock: &Clock, config: &ServeConfig) -> anyhow::Result<()> {
    let Storage::S3(store) = storage else { return Ok(()) };
    // Looked at before it is written to: SeaweedFS makes a bucket of whatever name is written to, also a
    // misspelt one.
    store.check().await.context(UNUSABLE)?;
    let seen = if config.probe_refresh { None } else { seen_lately(store, db, clock).await? };
    let mut seen = if let Some(seen) = seen {
        seen
    } else {
        let seen = store.probe().await.context(UNUSABLE)?;
        keep_probe(store, &seen, db, clock).await?;
        seen
    };
    warn_of_holes(store, &seen);
    if config.store_independent_proofs {
        tracing::info!("every presigned upload is read back");
        seen = seen.without_proofs();
    }
    for kind in UploadKind::ALL {
        tracing::info!(upload = kind.description(), proof = %seen.way(kind).proof(), "how uploads are proven here");
    }
    store.set_capabilities(seen);
    Ok(())
}

/// Never silently: the bytes of every upload go through this machine, or a key that was to protect does not.
fn warn_of_holes(store: &S3, seen: &Capabilities) {
    for hole in seen.url_holes() {
        tracing::warn!(
            reason = %hole,
            "uploads do not go to the bucket directly but through this service: the store would let the URLs do more \
             than put one object. Use another store or version, or sign uploads with a key that may only put below \
             temp/ (--s3-upload-access-key); `overside doctor` says which policy it needs"
        );
    }
    if store.upload_key().is_some() && !seen.has(Capability::UploadKeyRestricted) {
        tracing::warn!(
            "the key of --s3-upload-access-key was not seen to be restricted to puts below temp/, so it protects \
             nothing; `overside doctor` says which policy it needs"
        );
    }
}

async fn seen_lately(store: &S3, db: &Db, clock: &Clock) -> anyhow::Result<Option<Capabilities>> {
    let Some(probe) = db.find_probe(&store.identity(), PROBE_VERSION).await? else { return Ok(None) };
    // What cannot be read is asked again.
    let seen = serde_json::from_value::<Capabilities>(probe.capabilities).ok();
    Ok(seen.filter(|seen| seen.is_fresh(probe.probed_at, clock.now())))
}

/// Keeps what was seen of a bucket for all who start.
pub async fn keep_probe(store: &S3, seen: &Capabilities, db: &Db, clock: &Clock) -> anyhow::Result<()> {
    let probe = StoreProbe { capabilities: serde_json::to_value(seen)?, probed_at: clock.now() };
    Ok(db.save_probe(&store.identity(), PROBE_VERSION, &probe).await?)
}

/// A service that verifies and publishes nothing, for `cleanup`: it relies on nothing that a probe would show.
pub async fn open_service(config: &StoreConfig, limits: Limits) -> anyhow::Result<Arc<Service>> {
    let db = open_database(config).await?;
    let clock = db.clock().await.context(NO_TIME)?;
    let storage = open_storage(config, &db, &clock).await?;
    let service = Service::new(db, storage, clock, limits, None);
    service.refresh_settings().await.context("cannot read the settings")?;
    Ok(service)
}

/// A service for whoever keeps its accounts beside it.
pub async fn open_accounts(config: &StoreConfig) -> anyhow::Result<Arc<Service>> {
    open_service(config, NO_UPLOADS).await
}

/// What signs and checks tokens.
async fn open_auth(
    config: &ServeConfig,
    store: &StoreConfig,
    db: &Db,
    clock: &Clock,
) -> anyhow::Result<Auth> {
    let public_url = store.public_url.clone().context("a service with tokens has an address")?;
    let issuer = TokenIssuer { service: config.token_service.clone(), lifetime: config.token_lifetime };
    let oidc = Oidc::new(&config.oidc).context("cannot set up a client for OIDC issuers")?;
    let auth = Auth::open(db, issuer, public_url, oidc, config.token_key_lifetime, clock.now()).await;
    auth.context("cannot read the keys that tokens are signed with")
}

/// A server that has its address and everything behind it, and is ready to run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    service: Arc<Service>,
    clean_interval: Duration,
    gc_interval: Duration,
    shutdown_grace: Duration,
    connection_terms: Terms,
    trusts_forwarded_for: bool,
}

impl Server {
    pub async fn bind(config: &ServeConfig) -> anyhow::Result<Self> {
        config.check().map_err(anyhow::Error::msg)?;
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("cannot listen on {}; is another server there?", config.listen))?;
        let mut store = config.store.clone();
        if store.public_url.is_none() {
            store.public_url = Some(Url::parse(&format!("http://{}", listener.local_addr()?))?);
        }
        let db = open_database(&store).await?;
        let clock = db.clock().await.context(NO_TIME)?;
        let storage = open_storage(&store, &db, &clock).await?;
        probe(&storage, &db, &clock, config).await?;
        let auth = match config.auth {
            AuthMode::None => None,
            AuthMode::Token => Some(open_auth(config, &store, &db, &clock).await?),
        };
        let service = Service::new(db, storage, clock, config.limits.limits(), auth);
        service.refresh_settings().await.context("cannot read the settings")?;
        Ok(Self {
            listener,
            service,
            clean_interval: config.clean_interval,
            gc_interval: config.gc_interval,
            shutdown_grace: config.shutdown_grace,
            connection_terms: config.connections.terms(),
            trusts_forwarded_for: config.connections.trust_forwarded_for,
        })
    }

    /// Makes somebody who can let others in, where people have to sign in and there is nobody yet.
    pub async fn create_first_administrator(
        &self,
        given: Option<Password>,
    ) -> anyhow::Result<Option<FirstAdministrator>> {
        if self.service.auth().is_none() {
            return Ok(None);
        }
        let made = self.service.create_first_administrator(given).await;
        made.context("cannot make the first administrator")
    }

    /// Where it listens.
    pub fn url(&self) -> anyhow::Result<Url> {
        Ok(Url::parse(&format!("http://{}", self.listener.local_addr()?))?)
    }

    /// Serves until `stop`; then no new connection is taken, requests in flight may finish, and what does
    /// not finish in time saves its state for a client or another replica to go on with.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let router = http::router(Arc::clone(&self.service));
        let cleaning = CancellationToken::new();
        let service = || Arc::clone(&self.service);
        let cleaner = tokio::spawn(worker::clean(service(), self.clean_interval, cleaning.clone()));
        let collector = tokio::spawn(worker::collect(service(), self.gc_interval, cleaning.clone()));
        // To the end: requests in flight are limited and written down as well.
        let keeper = tokio::spawn(worker::keep_in_step(service()));
        let timekeeper = tokio::spawn(worker::keep_time(service()));
        let audit = tokio::spawn(worker::write_audit_log(service()));
        let connections = GracefulShutdown::new();
        let entrance = Entrance {
            router,
            connections: Connections::new(self.connection_terms),
            trusts_forwarded_for: self.trusts_forwarded_for,
            can_sign_in: self.service.auth().is_some(),
        };
        tokio::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, _)) => entrance.serve(stream, &connections),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        tracing::info!("stopping; requests in flight may finish");
        cleaning.cancel();
        let finished = connections.shutdown();
        tokio::pin!(finished);
        if tokio::time::timeout(self.shutdown_grace, &mut finished).await.is_ok() {
            self.service.hand_over(HAND_OVER_TIMEOUT).await;
        } else {
            tracing::info!("handing over what is still in flight");
            // The connections' last answers go out while their work is handed over.
            let answered = tokio::time::timeout(HAND_OVER_TIMEOUT, finished);
            let _ = tokio::join!(self.service.hand_over(HAND_OVER_TIMEOUT), answered);
        }
        for task in [keeper, timekeeper, audit] {
            task.abort();
        }
        cleaner.abort();
        collector.abort();
        tracing::info!("stopped");
    }
}

/// What every connection comes in by.
struct Entrance {
    router: Router,
    connections: Arc<Connections>,
    trusts_forwarded_for: bool,
    can_sign_in: bool,
}

impl Entrance {
    /// Serves a connection in a task of its own; closes it where there is no room for it.
    fn serve(&self, stream: TcpStream, watcher: &GracefulShutdown) {
        let address = stream.peer_addr().ok().map(|address| address.ip());
        let Some(connection) = self.connections.admit(address) else { return };
        // Small answers must not wait for the acknowledgement of the ones before.
        let _ = stream.set_nodelay(true);
        // HTTP/1.1 alone: that is what proxies speak to their backends, and the timer covers the first byte, where
        // telling it from HTTP/2 would wait for a silent client without one.
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(READ_BUFFER);
        let (router, trusts, can_sign_in) =
            (self.router.clone(), self.trusts_forwarded_for, self.can_sign_in);
        let on = Arc::clone(&connection);
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (router, connection) = (router.clone(), Arc::clone(&on));
            let waits = request.headers().contains_key(hyper::header::EXPECT);
            let forwarded = trusts.then(|| forwarded_for(request.headers())).flatten();
            let peer = forwarded.or(address);
            let work = connection.begin(peer, http::claim(&request, can_sign_in));
            let mut request = request.map(|body| Body::new(Lingering::new(body, waits)));
            if let Some(peer) = peer {
                request.extensions_mut().insert(Peer(peer));
            }
            request.extensions_mut().insert(connection);
            async move {
                let (work, response) = match work {
                    Ok(work) => {
                        (Some(work), router.oneshot(request).await.unwrap_or_else(|never| match never {}))
                    }
                    Err(crowded) => (None, http::crowded(request.uri(), crowded)),
                };
                Ok::<_, Infallible>(response.map(|body| Occupied::new(body, work)))
            }
        });
        let stream = TokioIo::new(Watched::new(stream, connection.flow()));
        let serving = watcher.watch(builder.serve_connection(stream, service));
        tokio::spawn(async move {
            tokio::select! {
                served = serving => if let Err(error) = served {
                    tracing::debug!(error = %error, "a connection ended badly");
                },
                () = connection.evicted() => tracing::debug!("a connection makes room for others"),
            }
        });
    }
}

/// Ends when the process is asked to: SIGTERM, or Ctrl-C.
pub async fn shutdown_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending::<()>().await,
        }
    };
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
