//! Who holds connections, and does nothing with them, keeps them from nobody else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::NAME;
use crate::support::accounts::Accounts;
use crate::support::api::{Answer, Repository, content, digest_of};
use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{Stack, Store, http, http_with, people, raw};

/// Few, so that few make them short. Two are kept for newcomers.
const MOST: &str = "16";
const MORE_THAN_MOST: usize = 40;
/// For an answer on a machine that does other things as well; an idle connection is kept for longer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// More than sockets hold on both ends: the rest of such a download waits in the service.
const LARGE: usize = 32 << 20;

pub fn cases() -> Vec<Story> {
    vec![
        ("idle_connections_shut_nobody_out", idle),
        ("downloads_that_nobody_reads_give_way_to_whoever_signs_in", stalled),
        ("an_address_takes_no_more_than_its_share", shared),
    ]
}

fn idle(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--max-connections", MOST]).await;
        let mut held = Vec::new();
        for number in 0..MORE_THAN_MOST {
            let mut stream = raw::connect(server.base_url()).await;
            // Some say nothing at all, some have begun a request, some have had an answer.
            let said = match number % 3 {
                0 => "",
                1 => "GET /v2/ HTTP/1.1\r\nhost: t",
                _ => "GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n",
            };
            let _ = stream.write_all(said.as_bytes()).await;
            held.push(stream);
        }
        is_served(&server).await;
    }
    .boxed()
}

fn stalled(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let ann = people::user(&stack, "ann", false).await;
        Accounts::of(&stack).await.project("open", true).await;
        people::project(&stack, "team", &[(&ann, "developer")]).await;
        let server = stack.guarded_server(&["--max-connections", MOST]).await;
        Accounts::of(&stack).await.member("open", "ann", "developer".parse().expect("a role")).await;
        let digest = ann.repository(server.base_url(), "open/model").push(&content(LARGE)).await;
        let mut held = Vec::new();
        for _ in 0..MORE_THAN_MOST / 2 {
            let mut stream = raw::connect(server.base_url()).await;
            let request = format!("GET /v2/open/model/blobs/{digest} HTTP/1.1\r\nhost: test\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("it takes the request");
            let mut status = [0; 12];
            // The last ones are told that there is no room, and may be pushed out before they have read it.
            let read = tokio::time::timeout(ANSWER_LIMIT, stream.read_exact(&mut status)).await;
            let _ = read.expect("an answer, or the end");
            held.push((stream, String::from_utf8_lossy(&status).into_owned()));
        }
        if matches!(stack.store, Store::Filesystem { .. }) {
            let begun = held.iter().filter(|(_, status)| status == "HTTP/1.1 200").count();
            assert_eq!(begun, 14, "two of sixteen are kept for newcomers");
            let refused = Answer::to(http().get(format!("{}/v2/open/model/tags/list", server.base_url())));
            let message = within(refused).await.refused(429, "TOOMANYREQUESTS");
            assert!(message.contains("under way at this server"), "{message}");
        }
        healthy(&server).await;
        let repository = ann.repository(server.base_url(), "team/model");
        for number in 0..3 {
            within(repository.push(&content(10_000 + number))).await;
        }
        healthy(&server).await;
    }
    .boxed()
}

fn shared(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--connections-per-address", "4"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let mut held = Vec::new();
        for _ in 0..4 {
            let other = http_with(|client| client.local_address(IpAddr::from([127, 0, 0, 3])));
            let upload = from_elsewhere(&repository, other).begin().await;
            let path = format!("/v2/{NAME}/blobs/uploads/{}", upload.id());
            let mut stream = raw::connect(server.base_url()).await;
            let request = format!("PATCH {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n01234");
            stream.write_all(request.as_bytes()).await.expect("it takes half the body");
            while upload.state().await.json()["status"] != "uploading" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            held.push((stream, upload));
        }
        // All of its connections are at work: there is no fifth one.
        let mut fifth = raw::connect(server.base_url()).await;
        let _ = fifth.write_all(b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n").await;
        let mut answer = Vec::new();
        let _ = within(fifth.read_to_end(&mut answer)).await;
        assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
        // Another address is served, and takes idle ones of its own when it has all of its share.
        let mut idle = Vec::new();
        for _ in 0..10 {
            idle.push(from_another_address(server.base_url()).await);
        }
        let elsewhere = http_with(|client| client.local_address(IpAddr::from([127, 0, 0, 2])));
        let url = format!("{}/healthz", server.base_url());
        within(Answer::to(elsewhere.get(url))).await.expect(200);
        // Nobody's upload was cut.
        for (mut stream, upload) in held {
            stream.write_all(b"56789").await.expect("it takes the rest");
            let mut status = [0; 12];
            within(stream.read_exact(&mut status)).await.expect("an answer");
            assert_eq!(&status, b"HTTP/1.1 202");
            drop(stream);
            upload.finalize(&digest_of(b"0123456789")).await.expect(201);
        }
    }
    .boxed()
}

/// A health probe is answered, and a blob can be pushed.
async fn is_served(server: &Server) {
    healthy(server).await;
    let repository = Repository::of(server.base_url(), NAME);
    within(repository.push(b"whatever others hold")).await;
}

/// On a connection of its own, as a load balancer asks.
async fn healthy(server: &Server) {
    for path in ["/healthz", "/readyz"] {
        let probe = Answer::to(http().get(format!("{}{path}", server.base_url())));
        within(probe).await.expect(200);
    }
}

fn from_elsewhere(repository: &Repository, http: reqwest::Client) -> Repository {
    let mut repository = repository.clone();
    repository.http = http;
    repository
}

async fn from_another_address(base_url: &str) -> TcpStream {
    let server: SocketAddr = base_url.trim_start_matches("http://").parse().expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0))).expect("all of 127.0.0.0/8 is ours");
    socket.connect(server).await.expect("the service listens")
}

async fn within<T>(answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(ANSWER_LIMIT, answer).await.expect("an answer in time")
}
