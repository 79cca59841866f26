//! Stock clients that follow a redirect of the PUT that carries a blob: they send it again to where it leads, and take
//! the store's plain 200 for a success. Who does not, or is not known to, must never be redirected: a 307 that is taken
//! for a success is worse than none.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use url::Url;

use super::error::HttpError;
use super::extract::user_agent;
use super::origin::Origin;
use super::redirects::takes_sign_in_along;
use crate::service::ServiceError;

/// What a `User-Agent` (RFC 9110 §10.1.5) begins with, the product in it that pushes, and since which version of that it
/// follows.
struct Follower {
    first: &'static str,
    pusher: &'static str,
    since: (u64, u64),
}

const FOLLOWERS: [Follower; 3] = [
    // containerd's own pusher, as `ctr` and `nerdctl` have it. Before 2.2 it wanted a `Docker-Content-Digest` of the store
    // (f2b9ff67f, core/remotes/docker/pusher.go).
    Follower { first: "containerd", pusher: "containerd", since: (2, 2) },
    // Docker Engine with the containerd image store, from 29.1 on (daemon/containerd/resolver.go). With a graph driver
    // it names no such client, and takes a 307 for a success.
    Follower { first: "docker", pusher: "containerd-client", since: (2, 2) },
    // BuildKit from 0.26 on, which has containerd 2.2 (go.mod; version/ua.go), and so `docker buildx --push`.
    Follower { first: "buildkit", pusher: "buildkit", since: (0, 26) },
];

/// Whether a client is known to follow.
pub(super) fn follows(headers: &HeaderMap) -> bool {
    // What stands in parentheses is somebody else's: Docker quotes its own client there.
    let agent = user_agent(headers).unwrap_or_default().split('(').next().unwrap_or_default();
    let products = || agent.split_ascii_whitespace().filter_map(|product| product.split_once('/'));
    let Some((first, _)) = products().next() else { return false };
    FOLLOWERS.iter().filter(|follower| follower.first == first).any(|follower| {
        let version = products().find(|(name, _)| *name == follower.pusher).map(|(_, version)| version);
        version.and_then(minor_version).is_some_and(|version| version >= follower.since)
    })
}

/// What is told to come back is told so as its client understands it: these repeat a 429, and a 503 only once.
pub(super) fn come_again(follows: bool, error: ServiceError) -> HttpError {
    match error {
        ServiceError::Busy(_) if follows => {
            HttpError::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", error.to_string())
                .with_header(RETRY_AFTER, HeaderValue::from_static("1"))
        }
        error => error.into(),
    }
}

/// Whether whoever has signed in can be sent to a URL of the store, which refuses two kinds of authorization.
pub(super) fn can_sign_in_stay_behind(origin: Option<&Origin>, url: &str) -> bool {
    let host = |url: &str| Url::parse(url).ok()?.host_str().map(str::to_owned);
    let here = origin.and_then(|origin| host(&origin.url("/")));
    here.zip(host(url)).is_some_and(|(here, there)| !takes_sign_in_along(&here, &there))
}

/// Major and minor. What precedes a release (`2.2.0-rc.0`) may lack what the release has: it counts as the minor version
/// before. A distribution's own suffix (`2.2.0-k3s1`, `2.2.1~ds1`) says nothing.
fn minor_version(version: &str) -> Option<(u64, u64)> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let end = version.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(version.len());
    let (numbers, suffix) = version.split_at(end);
    let mut numbers = numbers.split('.');
    let (major, minor) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    let is_release = !["alpha", "beta", "rc", "pre", "dev"].iter().any(|early| suffix.contains(early));
    if is_release { Some((major, minor)) } else { Some((major, u64::checked_sub(minor, 1)?)) }
}

#[cfg(test)]
mod tests {
    use axum::http::header::USER_AGENT;

    use super::*;

    fn follows(agent: &str) -> bool {
        let value = HeaderValue::from_str(agent).expect("a header");
        super::follows(&HeaderMap::from_iter([(USER_AGENT, value)]))
    }

    #[test]
    fn a_client_that_is_known_to_follow_is_told_by_its_version() {
        for agent in [
            "containerd/2.4.2+unknown",
            "containerd/2.2.0",
            "containerd/2.2.0-k3s1",
            "containerd/2.2.1~ds1",
            "containerd/2.3.0-rc.0",
            "containerd/v2.4.2",
            "containerd/v2.2.0-12-g0123abc.m",
            r"docker/29.2.1 go/go1.25.6 git-commit/6bc6209 kernel/6.12 os/linux arch/amd64 containerd-client/2.2.1+unknown storage-driver/overlayfs UpstreamClient(Docker-Client/29.2.1 \(linux\))",
            "containerd/v2.10.1",
            "containerd/3.0.0",
            "buildkit/v0.26",
            "buildkit/v0.26.1",
            "buildkit/1.0",
        ] {
            assert!(follows(agent), "{agent}");
        }
    }

    #[test]
    fn who_signs_in_is_not_sent_where_it_would_say_so_again() {
        let can = |here: &str, url: &str| {
            can_sign_in_stay_behind(Some(&Origin::fixed(&here.parse().expect("a URL"))), url)
        };
        let bucket = "https://s3.example/bucket/key?x";
        assert!(!can("https://s3.example:5000", bucket) && !can("https://example", bucket));
        assert!(!can("http://127.0.0.1:5000", "http://127.0.0.1:9000/b"));
        assert!(can("https://registry.example", bucket) && can("https://3.example", bucket));
        assert!(can("http://localhost:5000", "http://127.0.0.1:9000/b"));
        assert!(!can_sign_in_stay_behind(None, bucket));
    }

    #[test]
    fn nobody_else_is_redirected() {
        for agent in [
            "",
            "containerd/2.1.9",
            "containerd/2.2.0-rc.0",
            "containerd/v2.0.0-beta.1",
            "containerd/1.7.28",
            "containerd/2",
            "containerd/x.y",
            "containerd/2.2.0-beta+unknown",
            "containerd/0123abc",
            "mycontainerd/2.4.2",
            "something/1.0 containerd/2.4.2",
            r"docker/29.0.4 go/go1.25.4 os/linux containerd-client/2.1.5+unknown storage-driver/overlayfs",
            r"docker/29.7.2 go/go1.25.4 os/linux arch/amd64 UpstreamClient(x \(y\) containerd-client/2.4.0)",
            "buildkit/v0.0.0+unknown",
            "buildkit/v0.26-dev",
            "containerd/2.2.0~rc.1",
            r"docker/29.7.2 UpstreamClient(foo \(buildkit/v0.26.2\)) containerd-client/2.4.0",
            "something (containerd/2.4.2)",
            "buildkit/v0.25",
            "buildkit/0.9.3",
            "docker/29.1.0 go/go1.25 git-commit/1 kernel/6.1 os/linux arch/amd64 UpstreamClient(Docker-Client/29.1.0)",
            "skopeo/1.13.0 (github.com/containers/skopeo)",
            "containers/5.34.2 (github.com/containers/image)",
            "crane/v0.22.1 go-containerregistry/v0.22.1",
            "regclient/regctl (v0.11.7)",
            "oras/1.3.6",
            "Helm/3.19.0",
        ] {
            assert!(!follows(agent), "{agent}");
        }
        assert!(!super::follows(&HeaderMap::new()));
    }
}
