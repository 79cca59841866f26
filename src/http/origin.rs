//! Both ends of a request as they are seen from outside: who asks, and where this service is found.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName};
use url::Url;

/// What proxies say whom they ask for; each adds the address that it was asked from.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who asks: the other end of the connection or, behind a proxy that is trusted, of that one's. An extension of the
/// request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Whom the nearest proxy asks for. What stands before the last address is what others have made up.
#[must_use]
pub fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all(FORWARDED_FOR).iter().next_back()?.to_str().ok()?.rsplit(',').next()?.trim();
    last.parse().ok().or_else(|| last.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Where clients find this service: `https://registry.example/below`, without a slash at the end. An extension of the
/// request.
#[derive(Debug, Clone)]
pub struct Origin {
    url: Arc<str>,
    is_certain: bool,
}

impl Origin {
    #[must_use]
    pub fn fixed(url: &Url) -> Self {
        Self { url: url.as_str().trim_end_matches('/').into(), is_certain: true }
    }

    /// A URL here, of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Whether no other service is found there: where that was told, or where this machine asks itself at the port that
    /// this service has. Else it is what a request says, and whoever sends one on says what they like.
    #[must_use]
    pub const fn is_certain(&self) -> bool {
        self.is_certain
    }

    /// A URL that may be a path here.
    pub(super) fn complete(origin: Option<&Self>, url: String) -> String {
        match origin {
            Some(origin) if url.starts_with('/') => origin.url(&url),
            _ => url,
        }
    }

    /// Where this client found it. A proxy's word on the host counts where proxies are trusted; its word on TLS always
    /// does, as it changes nothing but what this client itself is told.
    /// The ends of the connection are the client's or a proxy's, and this service's.
    #[must_use]
    pub fn of<B>(
        request: &hyper::Request<B>,
        trusts_proxy: bool,
        (from, to): (Option<IpAddr>, Option<SocketAddr>),
    ) -> Option<Self> {
        let said = |name| request.headers().get(name)?.to_str().ok();
        let by_proxy = |name| said(name).filter(|_| trusts_proxy);
        let forwarded = by_proxy(FORWARDED_HOST);
        let host = forwarded.or(request.uri().authority().map(Authority::as_str));
        let host: Authority = host.or_else(|| said(HOST))?.parse().ok()?;
        let first = |list: &str| list.split(',').next().is_some_and(|proto| proto.trim() == "https");
        let scheme = if said(FORWARDED_PROTO).is_some_and(first) { "https" } else { "http" };
        let is_certain = matches!(host.host(), "localhost" | "127.0.0.1" | "[::1]")
            && forwarded.is_none()
            && from.is_some_and(|from| from.is_loopback())
            && host.port_u16().is_some_and(|port| to.is_some_and(|to| to.port() == port));
        (!host.as_str().contains('@')).then(|| Self { url: format!("{scheme}://{host}").into(), is_certain })
    }
}
