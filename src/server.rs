//! Wiring: from settings to a service that listens, and its end in good order.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use url::{Position, Url};

use crate::auth::password::Password;
use crate::config::{AuthMode, ServeConfig};
use crate::http;
use crate::http::connections::{Connections, Lingering, Terms, TrackedBody, Watched};
use crate::http::origin::{Origin, Peer, forwarded_for};
use crate::http::redirects::Redirects;
use crate::open;
use crate::probing::Prober;
use crate::service::{FirstAdministrator, Service};
use crate::webhook::{SenderConfig, WebhookSender};
use crate::worker;

/// A request's head must be here within this; also how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// Read from a connection at once, and the longest head of a request. Every read wakes the task that takes the
/// body: a quarter of this costs a fifth more CPU, more than this gained nothing. Left to itself hyper goes to
/// 400 KiB. What a store keeps of a body lies in these buffers: the sizes in `storage::rope` follow from it.
const READ_BUFFER: usize = 256 * 1024;
/// Saving what is in flight once the grace is over; orchestrators kill about 30 s after SIGTERM.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(4);
/// What a delivery of a webhook may take beyond its receiver's time: for the statements that end it.
const DELIVERY_END: Duration = Duration::from_secs(1);
/// Pause after `accept` failed: out of file descriptors, most likely, and spinning frees none.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that has its address and everything behind it, and is ready to run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    service: Arc<Service>,
    /// None where the store is no bucket.
    prober: Option<Prober>,
    clean_interval: Duration,
    gc_interval: Duration,
    shutdown_grace: Duration,
    connection_terms: Terms,
    trusts_forwarded_for: bool,
    /// None: where each client found it.
    origin: Option<Origin>,
    cors_origins: Vec<String>,
    redirects: Redirects,
    webhook_sender: Arc<WebhookSender>,
}

impl Server {
    pub async fn bind(config: &ServeConfig) -> anyhow::Result<Self> {
        config.check().map_err(anyhow::Error::msg)?;
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("cannot listen on {}; is another server there?", config.listen))?;
        let db = open::database(&config.store).await?;
        let clock = db.clock().await.context(open::NO_TIME)?;
        let storage = open::storage(&config.store, &db, &clock).await?;
        let prober = Prober::new(&storage, &db, &clock, config);
        if let Some(prober) = &prober {
            Box::pin(prober.probe(config.probe_refresh)).await?;
        }
        let auth = match config.auth {
            AuthMode::None => None,
            AuthMode::Token => Some(open::auth(config, &db, &clock).await?),
        };
        let service = Service::new(db, storage, clock, config.limits.limits(), auth);
        service.refresh_settings().await.context("cannot read the settings")?;
        let webhook_sender = WebhookSender::new(SenderConfig {
            registry_host: match &config.store.public_url {
                Some(url) => url[Position::BeforeHost..Position::AfterPort].to_owned(),
                None => listener.local_addr()?.to_string(),
            },
            timeout: config.webhooks.webhook_timeout,
            private_addresses: config.webhooks.webhook_private_addresses,
        });
        Ok(Self {
            webhook_sender: Arc::new(webhook_sender.context("cannot set up a client for webhooks")?),
            listener,
            service,
            prober,
            clean_interval: config.clean_interval,
            gc_interval: config.gc_interval,
            shutdown_grace: config.shutdown_grace,
            connection_terms: config.connections.terms(),
            trusts_forwarded_for: config.connections.trust_forwarded_for,
            origin: config.store.public_url.as_ref().map(Origin::fixed),
            cors_origins: config.cors_origin.clone(),
            redirects: config.redirects(),
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
        let router = http::router(Arc::clone(&self.service), &self.cors_origins, self.redirects);
        let cleaning = CancellationToken::new();
        let service = || Arc::clone(&self.service);
        let cleaner = tokio::spawn(worker::clean(service(), self.clean_interval, cleaning.clone()));
        let collector = tokio::spawn(worker::collect(service(), self.gc_interval, cleaning.clone()));
        let watcher = tokio::spawn(worker::look_at_redirected(service(), cleaning.clone()));
        let sender = Arc::clone(&self.webhook_sender);
        let mut postman = tokio::spawn(worker::deliver_webhooks(service(), sender, cleaning.clone()));
        // To the end: requests in flight are limited and written down as well.
        let keeper = tokio::spawn(worker::keep_in_step(service()));
        let heart = tokio::spawn(worker::count_replicas(service()));
        let timekeeper = tokio::spawn(worker::keep_time(service()));
        let audit = tokio::spawn(worker::write_audit_log(service()));
        let prober = self.prober.map(|prober| tokio::spawn(prober.ask_until_answered(cleaning.clone())));
        let connections = GracefulShutdown::new();
        let entrance = ListenerContext {
            router,
            connections: Connections::new(self.connection_terms),
            trusts_forwarded_for: self.trusts_forwarded_for,
            origin: self.origin,
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
        // Deliveries under way end before the database is closed: what a receiver took would come twice.
        let delivering = (self.webhook_sender.timeout() + DELIVERY_END).min(self.shutdown_grace);
        let deliveries = tokio::time::timeout(delivering, &mut postman);
        let served = tokio::time::timeout(self.shutdown_grace, &mut finished);
        let (served, _) = tokio::join!(served, deliveries);
        if served.is_ok() {
            self.service.hand_over(HAND_OVER_TIMEOUT).await;
        } else {
            tracing::info!("handing over what is still in flight");
            // The connections' last answers go out while their work is handed over.
            let answered = tokio::time::timeout(HAND_OVER_TIMEOUT, finished);
            let _ = tokio::join!(self.service.hand_over(HAND_OVER_TIMEOUT), answered);
        }
        for task in [keeper, heart, timekeeper, audit] {
            task.abort();
        }
        cleaner.abort();
        collector.abort();
        watcher.abort();
        postman.abort();
        if let Some(prober) = prober {
            prober.abort();
        }
        tracing::info!("stopped");
    }
}

/// What every connection comes in by.
struct ListenerContext {
    router: Router,
    connections: Arc<Connections>,
    trusts_forwarded_for: bool,
    origin: Option<Origin>,
    can_sign_in: bool,
}

impl ListenerContext {
    /// Serves a connection in a task of its own; closes it where there is no room for it.
    fn serve(&self, stream: TcpStream, watcher: &GracefulShutdown) {
        let address = stream.peer_addr().ok().map(|address| address.ip());
        let ends = (address, stream.local_addr().ok());
        let Some(connection) = self.connections.admit(address) else { return };
        // Small answers must not wait for the acknowledgement of the ones before.
        let _ = stream.set_nodelay(true);
        // HTTP/1.1 alone: that is what proxies speak to their backends, and the timer covers the first byte, where
        // telling it from HTTP/2 would wait for a silent client without one.
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(READ_BUFFER);
        let (router, trusts, can_sign_in) =
            (self.router.clone(), self.trusts_forwarded_for, self.can_sign_in);
        let (on, origin) = (Arc::clone(&connection), self.origin.clone());
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (router, connection) = (router.clone(), Arc::clone(&on));
            let waits = request.headers().contains_key(hyper::header::EXPECT);
            let forwarded = trusts.then(|| forwarded_for(request.headers())).flatten();
            let peer = forwarded.or(address);
            let work = connection.begin(peer, http::claim(&request, can_sign_in));
            let origin = origin.clone().or_else(|| Origin::of(&request, trusts, ends));
            let mut request =
                request.map(|body| Body::new(Lingering::new(body, waits, Arc::clone(&connection))));
            if let Some(peer) = peer {
                request.extensions_mut().insert(Peer(peer));
            }
            if let Some(origin) = origin {
                request.extensions_mut().insert(origin);
            }
            request.extensions_mut().insert(connection);
            async move {
                let (work, response) = match work {
                    Ok(work) => {
                        (Some(work), router.oneshot(request).await.unwrap_or_else(|never| match never {}))
                    }
                    Err(error) => (None, http::over_capacity(request.uri(), error)),
                };
                Ok::<_, Infallible>(response.map(|body| TrackedBody::new(body, work)))
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
