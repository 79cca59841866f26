//! The rough proxy: what it lets through is whole, and what it does not is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::routing::put;
use futures_util::stream;
use libtest_mimic::Trial;
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use tokio::net::TcpListener;
use url::Url;

use crate::support;
use crate::support::rough::{End, RoughProxy, Roughness};
use crate::support::trial::trial;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("harness::a_rough_proxy_forwards_every_framing_unchanged".into(), forwards),
        trial("harness::a_rough_proxy_refuses_by_count_and_forwards_none_of_it".into(), refuses),
        trial("harness::a_refusal_arrives_before_a_large_body_is_sent".into(), refuses_early),
        trial("harness::a_rough_proxy_cuts_by_the_bytes_of_all_connections".into(), cuts),
        trial("harness::a_cut_that_falls_on_a_refusal_is_made_up_for".into(), owes),
    ]
}

async fn forwards() {
    let (proxy, received) = rough(Roughness::default()).await;
    let client = support::http_with(|builder| builder.pool_max_idle_per_host(1));
    let content = content(300 * KIB);
    for round in 0..3 {
        for pieces in [1, 7, 100_000] {
            let pieces: Vec<_> =
                content.chunks(pieces).take(100).map(Bytes::copy_from_slice).map(Ok::<_, String>).collect();
            let expected: Vec<u8> = pieces.iter().flatten().flatten().copied().collect();
            let chunked = reqwest::Body::wrap_stream(stream::iter(pieces));
            let back = client.put(proxy.url().clone()).body(chunked).send().await.expect("an answer");
            assert!(back.bytes().await.expect("a body") == expected, "round {round}");
        }
        let back = client.put(proxy.url().clone()).body(content.clone()).send().await.expect("an answer");
        assert!(back.bytes().await.expect("a body") == content, "round {round}");
    }
    let sent = proxy.sent();
    assert_eq!((sent.requests, sent.refused, sent.cuts), (12, 0, 0));
    assert_eq!(sent.bodies, received.load(SeqCst));
    assert_eq!(sent.bodies, 3 * (100 + 700 + 2 * 300 * KIB));
    assert!(sent.bytes > sent.bodies, "heads and frames are counted too");
}

async fn refuses() {
    let (proxy, received) = rough(Roughness { refuse_every: Some(3), ..Roughness::default() }).await;
    let client = support::http();
    let mut answers = Vec::new();
    for _ in 0..6 {
        let url = proxy.url().join("blob?X-Signature=secret").expect("a URL");
        let answer = client.put(url).body(content(KIB)).send().await.expect("an answer");
        answers.push((answer.status().as_u16(), answer.headers().contains_key(RETRY_AFTER)));
    }
    let (ok, again, later) = ((200, false), (503, true), (503, false));
    assert_eq!(answers, [ok, ok, again, ok, ok, later]);
    assert_eq!(received.load(SeqCst), 4 * KIB);
    let (sent, requests) = (proxy.sent(), proxy.requests());
    assert_eq!((sent.requests, sent.refused, sent.bodies), (6, 2, 6 * KIB));
    let third = &requests[2];
    assert_eq!((third.method.as_str(), third.path.as_str(), third.body), ("PUT", "/blob", KIB));
    assert_eq!(third.end, End::Refused);
}

async fn refuses_early() {
    let (proxy, received) = rough(Roughness { refuse_every: Some(1), ..Roughness::default() }).await;
    for _ in 0..10 {
        let sending = support::http().put(proxy.url().clone()).body(content(16 * MIB)).send().await;
        assert_eq!(sending.expect("an answer").status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(received.load(SeqCst), 0);
    // A client drops the connection when it has its answer, and the proxy may still be reading.
    assert!(proxy.sent().bodies < 10 * 400 * KIB, "{:?}", proxy.sent());
}

async fn cuts() {
    let (proxy, received) = rough(Roughness { cut_every: Some(5 * MIB), ..Roughness::default() }).await;
    let (mut whole, mut broken) = (0, 0);
    for _ in 0..10 {
        // Two connections at a time: neither alone comes to what costs one of them the line.
        let send = || support::http().put(proxy.url().clone()).body(content(MIB)).send();
        let (one, two) = tokio::join!(send(), send());
        for answer in [one, two] {
            if answer.is_ok() { whole += 1 } else { broken += 1 }
        }
    }
    let sent = proxy.sent();
    assert_eq!((sent.cuts, whole + broken), (broken, 20), "{sent:?}");
    assert_eq!(sent.cuts, sent.bytes / (5 * MIB));
    assert!(broken >= 3, "{sent:?}");
    assert_eq!(received.load(SeqCst), whole * MIB, "what was cut is not half received");
    assert!(sent.bodies > whole * MIB && sent.bodies <= 20 * MIB, "what was lost is counted: {sent:?}");
}

async fn owes() {
    let roughness = Roughness { cut_every: Some(2_000), refuse_every: Some(2) };
    let (proxy, received) = rough(roughness).await;
    let client = support::http();
    // Heads of 1,000 bytes and a little more: the second brings the total to a cut.
    let url = proxy.url().join(&format!("blob?{}", "x".repeat(1_000))).expect("a URL");
    let mut answers = Vec::new();
    for _ in 0..3 {
        let answer = client.put(url.clone()).body("").send().await;
        answers.push(answer.ok().map(|answer| answer.status().as_u16()));
    }
    assert_eq!(answers, [Some(200), Some(503), None]);
    let ends: Vec<_> = proxy.requests().iter().map(|request| request.end).collect();
    assert_eq!(ends, [End::Forwarded, End::Refused, End::Cut]);
    assert_eq!(received.load(SeqCst), 0);
}

fn content(size: u64) -> Vec<u8> {
    // 251 is prime: no block looks like its neighbour.
    (0..size).map(|at| u8::try_from(at % 251).expect("less than 256")).collect()
}

/// A rough proxy in front of a server that repeats bodies, and counts them when they have come whole.
async fn rough(roughness: Roughness) -> (RoughProxy, Arc<AtomicU64>) {
    let received = Arc::new(AtomicU64::new(0));
    let counting = received.clone();
    let repeat = put(async move |body: Bytes| {
        counting.fetch_add(body.len() as u64, SeqCst);
        Body::from(body)
    });
    let router = Router::new().route("/", repeat.clone()).route("/blob", repeat);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
    let url = format!("http://{}", listener.local_addr().expect("a bound address"));
    let serving = axum::serve(listener, router.layer(DefaultBodyLimit::disable()));
    tokio::spawn(serving.into_future());
    let url = Url::parse(&url).expect("a URL");
    (RoughProxy::in_front_of(&url, roughness), received)
}
