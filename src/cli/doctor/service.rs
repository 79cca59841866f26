//! What clients meet at the service that runs: where it sends them to sign in, and what browsers may do.

use std::time::Duration;

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use overside_client::Registry;
use url::Url;

use crate::cli::advice::advised;
use crate::domain::digest::Digest;
use crate::http::redirects::is_private;
use crate::storage::{Finding, S3, key};

/// Looks at the service itself; at nothing where it is not known where that is.
pub(super) async fn findings(service: Option<&Registry>, origin: Option<&HeaderValue>) -> Vec<Finding> {
    let Some(service) = service else {
        let detail = "not looked at; --server says where clients find it".to_owned();
        return vec![Finding::good("service", detail)];
    };
    let url = service.url().clone();
    let base = match url.join("v2/") {
        Ok(base) => base,
        Err(error) => return vec![unreachable(&error)],
    };
    let (status, headers) = match service.probe(Method::GET, &base, HeaderMap::new()).await {
        Ok(answer) => answer,
        Err(error) => return vec![unreachable(&error)],
    };
    let mut findings = vec![sign_in(&url, status, &headers)];
    if let Some(origin) = origin {
        let mend = "name the origin of the page with --cors-origin when the service starts";
        findings.push(cors(service, &base, "service CORS", origin, mend).await);
    }
    findings
}

fn unreachable(error: &(dyn std::error::Error + 'static)) -> Finding {
    let mend = "start it, or say with --server where clients find it";
    Finding::warning("service", advised(error), mend)
}

/// Where clients are sent for tokens, and which of them do not go there (crane 0.22, oras 1.3 and helm 3.22 check it).
fn sign_in(service: &Url, status: StatusCode, headers: &HeaderMap) -> Finding {
    const SUBJECT: &str = "sign-in";
    let Some(realm) = Registry::realm(headers) else {
        return if status.is_success() {
            Finding::good(SUBJECT, "nobody has to sign in".to_owned())
        } else {
            let mend = "see that --server is the service and nothing in between answers; set --public-url";
            Finding::warning(
                SUBJECT,
                format!("the service answers {status} to GET /v2/ and names no token service by URL"),
                mend,
            )
        };
    };
    let mend =
        "set --public-url to the URL that clients use, or have the proxy keep Host and set X-Forwarded-Proto";
    let place = realm.origin().ascii_serialization();
    let is_same =
        realm.host() == service.host() && realm.port_or_known_default() == service.port_or_known_default();
    if service.scheme() == "https" && realm.scheme() == "http" {
        let detail = format!("clients are sent from https to {place} for tokens, without TLS");
        Finding::warning(SUBJECT, detail, mend)
    } else if !is_same && is_private(&realm) {
        let detail = format!(
            "clients are sent to {place} for tokens; crane, oras and helm go to no private address that is not the registry's own"
        );
        Finding::warning(SUBJECT, detail, mend)
    } else {
        Finding::good(SUBJECT, format!("clients are sent to {place} for tokens"))
    }
}

/// Asks the bucket what a browser asks before it sends an upload of a page of this origin.
pub(super) async fn bucket_cors(registry: &Registry, store: &S3, origin: &HeaderValue) -> Option<Finding> {
    let some_blob = key::blob(&Digest::from_sha256([0; 32]));
    let url = Url::parse(&store.presign_get(&some_blob, Duration::from_mins(1)).await.ok()?).ok()?;
    let mend = "give the bucket a CORS rule for the origin, as localstack/cors.json does";
    Some(cors(registry, &url, "bucket CORS", origin, mend).await)
}

/// A preflight request (WHATWG Fetch, "CORS-preflight request").
async fn cors(
    registry: &Registry,
    url: &Url,
    subject: &'static str,
    origin: &HeaderValue,
    mend: &'static str,
) -> Finding {
    let mut headers = HeaderMap::new();
    headers.insert(ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PUT"));
    let page = origin.to_str().unwrap_or_default();
    let (status, headers) = match registry.probe(Method::OPTIONS, url, headers).await {
        Ok(answer) => answer,
        Err(error) => return Finding::warning(subject, advised(&error), mend),
    };
    let said = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let allows_origin =
        matches!(said(ACCESS_CONTROL_ALLOW_ORIGIN), allowed if allowed == "*" || allowed == page);
    let methods = said(ACCESS_CONTROL_ALLOW_METHODS);
    let allows_method = methods.split(',').any(|method| matches!(method.trim(), "PUT" | "*"));
    if status.is_success() && allows_origin && allows_method {
        Finding::good(subject, format!("pages of {page} may upload"))
    } else {
        Finding::warning(
            subject,
            format!("pages of {page} may not upload: {status} to their preflight"),
            mend,
        )
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use axum::http::header::WWW_AUTHENTICATE;

    use super::*;
    use crate::storage::Verdict;

    #[test]
    fn a_realm_that_clients_do_not_go_to_is_a_warning() {
        let verdict = |service: &str, challenge: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(challenge) = challenge {
                headers.insert(WWW_AUTHENTICATE, challenge.parse().unwrap());
            }
            let status = if challenge.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
            sign_in(&Url::parse(service).unwrap(), status, &headers).verdict
        };
        let realm = |url: &str| format!("Bearer realm=\"{url}\",service=\"overside\"");
        for (service, url, expected) in [
            ("http://localhost:5000", "http://localhost:5000/service/token", Verdict::Good),
            ("https://registry.example", "https://auth.example/token", Verdict::Good),
            ("http://localhost:5000", "http://127.0.0.1:5000/service/token", Verdict::Warning),
            ("https://registry.example", "http://registry.example/service/token", Verdict::Warning),
            ("https://registry.example", "https://10.0.0.7/service/token", Verdict::Warning),
            ("https://registry.example", "/service/token", Verdict::Warning),
        ] {
            assert_eq!(verdict(service, Some(&realm(url))), expected, "{service} {url}");
        }
        assert_eq!(verdict("http://localhost:5000", None), Verdict::Good);
        assert_eq!(verdict("http://localhost:5000", Some("Basic")), Verdict::Warning);
    }
}
