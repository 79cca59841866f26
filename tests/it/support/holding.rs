//! A TCP proxy on loopback that keeps one kind of request on its way for as long as a story likes.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use url::Url;

/// Larger than any head, so that the first block of a request shows its method and path.
const BLOCK: usize = 64 << 10;
/// For a request to come that a process is about to send, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub struct HoldingProxy {
    url: Url,
    line: Arc<Line>,
}

#[derive(Debug)]
struct Line {
    method: &'static str,
    path: &'static str,
    held: watch::Sender<u64>,
    /// Permits come with [`HoldingProxy::release`], for everybody.
    released: Semaphore,
}

impl HoldingProxy {
    /// In front of the server that `url` leads to, it holds requests of this method whose path has this in it.
    pub async fn in_front_of(url: &Url, method: &'static str, path: &'static str) -> Self {
        let target = url.socket_addrs(|| None).expect("an address with a port")[0];
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
        let address = listener.local_addr().expect("a bound address");
        let mut url = url.clone();
        url.set_ip_host(address.ip())
            .and_then(|()| url.set_port(Some(address.port())))
            .expect("a URL with a host");
        let line = Line { method, path, held: watch::Sender::default(), released: Semaphore::new(0) };
        let line = Arc::new(line);
        let accepting = Arc::clone(&line);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let line = Arc::clone(&accepting);
                tokio::spawn(async move {
                    let target = TcpStream::connect(target).await?;
                    let ((from_client, mut to_client), (mut from_target, to_target)) =
                        (client.into_split(), target.into_split());
                    tokio::select! {
                        done = forward(from_client, to_target, &line) => done,
                        done = io::copy(&mut from_target, &mut to_client) => done.map(drop),
                    }
                });
            }
        });
        Self { url, line }
    }

    /// The URL it stands in front of, leading through it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Waits until a request is held.
    pub async fn holds_one(&self) {
        let mut held = self.line.held.subscribe();
        let seen = tokio::time::timeout(PATIENCE, held.wait_for(|held| *held > 0)).await;
        seen.expect("such a request comes").expect("the proxy runs");
    }

    /// Requests that were held so far.
    pub fn held(&self) -> u64 {
        *self.line.held.borrow()
    }

    /// Lets so many go on, those that are held before those that come.
    pub fn let_pass(&self, requests: usize) {
        self.line.released.add_permits(requests);
    }

    /// Whoever comes now is held again, whatever was allowed before.
    pub fn hold(&self) {
        self.line.released.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets what is held go on, and holds nothing any more.
    pub fn release(&self) {
        self.line.released.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

async fn forward(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    line: &Line,
) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        let length = from.read(&mut block).await?;
        if length == 0 {
            return Ok(());
        }
        if line.is_held(&block[..length]) {
            line.held.send_modify(|held| *held += 1);
            line.released.acquire().await.map_err(io::Error::other)?.forget();
        }
        to.write_all(&block[..length]).await?;
    }
}

impl Line {
    fn is_held(&self, block: &[u8]) -> bool {
        let first = block.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let first = String::from_utf8_lossy(first);
        first.split_once(' ').is_some_and(|(method, rest)| method == self.method && rest.contains(self.path))
    }
}
