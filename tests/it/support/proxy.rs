//! A TCP proxy on loopback that strikes at a chosen moment: it kills the service, or cuts the line, just before
//! or just after the k-th thing the service says to its database or store. No hook in the product is needed.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

/// Bytes read at once: larger than any request without a body, so that those pass whole.
const BLOCK: usize = 64 << 10;

type Action = Box<dyn FnOnce() + Send>;

/// On which side of forwarding a request the strike falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// The target never hears it.
    Before,
    /// The target hears it, and the answer finds nobody.
    After,
}

#[derive(Debug)]
pub struct FaultProxy {
    url: Url,
    line: Arc<Line>,
}

/// Bytes that were forwarded, counted before they are: whoever has them finds them counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub to_target: u64,
    pub to_client: u64,
}

struct Line {
    target: SocketAddr,
    is_postgres: bool,
    to_target: AtomicU64,
    to_client: AtomicU64,
    /// Requests since the proxy was armed or made.
    requests: AtomicU64,
    armed: Mutex<Option<Armed>>,
    /// Every change ends the connections that are open.
    cut: watch::Sender<u64>,
}

struct Armed {
    request: u64,
    strike: Strike,
    action: Action,
}

impl FaultProxy {
    /// A proxy in front of the server that `url` leads to: a store's endpoint or a database.
    pub async fn in_front_of(url: &Url) -> Self {
        let target = url.socket_addrs(|| None).expect("an address with a port")[0];
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
        let address = listener.local_addr().expect("a bound address");
        let (mut url, is_postgres) = (url.clone(), url.scheme().starts_with("postgres"));
        url.set_ip_host(address.ip())
            .and_then(|()| url.set_port(Some(address.port())))
            .expect("a URL with a host");
        let (to_target, to_client, requests) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let (armed, cut) = (Mutex::new(None), watch::Sender::new(0));
        let line = Arc::new(Line { target, is_postgres, to_target, to_client, requests, armed, cut });
        let accepting = line.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, accepting.clone()));
            }
        });
        Self { url, line }
    }

    /// The URL it stands in front of, leading through it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Runs `action` once, at the `request`-th request from now, counted from 1 over all connections. A request
    /// is whatever the client says after the other side had the last word; later blocks of it are not counted, nor
    /// is what only prepares a statement: to the database nothing has happened yet.
    pub fn arm(&self, request: u64, strike: Strike, action: impl FnOnce() + Send + 'static) {
        let mut armed = self.line.armed.lock().expect("no action panics");
        self.line.requests.store(0, SeqCst);
        *armed = Some(Armed { request, strike, action: Box::new(action) });
    }

    /// Whether an armed action is still to run.
    pub fn is_armed(&self) -> bool {
        self.line.armed.lock().expect("no action panics").is_some()
    }

    /// Requests since the proxy was armed or made.
    pub fn requests(&self) -> u64 {
        self.line.requests.load(SeqCst)
    }

    pub fn traffic(&self) -> Traffic {
        let (to_target, to_client) = (self.line.to_target.load(SeqCst), self.line.to_client.load(SeqCst));
        Traffic { to_target, to_client }
    }

    /// Ends every connection that is open now.
    pub fn cut(&self) {
        self.line.cut.send_modify(|times| *times += 1);
    }
}

impl Line {
    /// Whether PostgreSQL is told to parse and to describe a statement, and nothing else: a service that has just
    /// started does so before the first time that it executes each (Message Formats, `Parse`, `Describe`, `Sync`).
    fn only_prepares(&self, block: &[u8]) -> bool {
        let mut kinds = Vec::new();
        let mut rest = block;
        while let [kind, a, b, c, d, ..] = rest {
            kinds.push(*kind);
            // The length counts itself and not the kind before it.
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            rest = rest.get(1 + length..).unwrap_or_default();
        }
        self.is_postgres && kinds.contains(&b'P') && kinds.iter().all(|kind| b"PDS".contains(kind))
    }

    fn next_request(&self) -> Option<Armed> {
        let mut armed = self.armed.lock().expect("no action panics");
        let request = self.requests.fetch_add(1, SeqCst) + 1;
        armed.take_if(|armed| armed.request == request)
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Forwards both ways until either side ends, or all are cut.
async fn connection(client: TcpStream, line: Arc<Line>) -> io::Result<()> {
    let mut cut = line.cut.subscribe();
    let target = TcpStream::connect(line.target).await?;
    client.set_nodelay(true)?;
    target.set_nodelay(true)?;
    let ((from_client, to_client), (from_target, to_target)) = (client.into_split(), target.into_split());
    let answered = AtomicBool::new(true);
    tokio::select! {
        result = forward_requests(from_client, to_target, &line, &answered) => result,
        result = forward_answers(from_target, to_client, &line, &answered) => result,
        _ = cut.changed() => Ok(()),
    }
}

async fn forward_requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    line: &Line,
    answered: &AtomicBool,
) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        let length = from.read(&mut block).await?;
        if length == 0 {
            return Ok(());
        }
        let is_request = answered.swap(false, SeqCst) && !line.only_prepares(&block[..length]);
        let armed = if is_request { line.next_request() } else { None };
        let mut after = None;
        match armed {
            Some(Armed { strike: Strike::Before, action, .. }) => {
                action();
                return Ok(());
            }
            Some(Armed { strike: Strike::After, action, .. }) => after = Some(action),
            None => {}
        }
        line.to_target.fetch_add(length as u64, SeqCst);
        to.write_all(&block[..length]).await?;
        if let Some(action) = after {
            action();
        }
    }
}

async fn forward_answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    line: &Line,
    answered: &AtomicBool,
) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        let length = from.read(&mut block).await?;
        if length == 0 {
            return Ok(());
        }
        answered.store(true, SeqCst);
        line.to_client.fetch_add(length as u64, SeqCst);
        to.write_all(&block[..length]).await?;
    }
}
