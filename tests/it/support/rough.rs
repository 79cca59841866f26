//! A proxy on loopback as rough as those in production: it cuts connections after so many bytes, refuses some
//! requests with 503, and counts what clients really sent. It understands just enough HTTP/1.1 to see where a
//! request begins, and rewrites nothing: signed URLs bind the Host header, so the server is told of the proxy as
//! its public address.

mod incoming;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use url::Url;

use incoming::Incoming;

/// What the kernel takes in for us unread. Its own choice goes up to megabytes, which would be sent, lost and in
/// no count of ours.
const RECEIVE_BUFFER: u32 = 128 << 10;
const BACKLOG: u32 = 1024;
/// Bytes read of a refused request's body, so that a client that hears only when it has sent hears us.
const DRAIN: u64 = 128 << 10;
/// For a client to read its refusal before the connection goes, however much it still wants to send.
const LINGER: Duration = Duration::from_secs(1);
/// For a server to answer, or to close on, what a client left behind.
const QUIET_TIMEOUT: Duration = Duration::from_mins(1);

/// How rough a proxy is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Roughness {
    /// Cuts whichever connection brings the clients' total to a multiple of so many bytes; where that is refused
    /// anyway, the next one. What it brought last is lost.
    pub cut_every: Option<u64>,
    /// Refuses each so many-th request, counted over all connections, and closes its connection. The target never
    /// hears of it. The first, third, … refusal asks for a retry at once, the others say nothing of it.
    pub refuse_every: Option<u64>,
}

#[derive(Debug)]
pub struct RoughProxy {
    url: Url,
    line: Arc<Line>,
}

/// What clients have sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Requests whose head arrived, refused ones too.
    pub requests: u64,
    pub refused: u64,
    /// Connections that were cut.
    pub cuts: u64,
    /// Bytes, heads included.
    pub bytes: u64,
    /// Bytes of bodies, whether they were forwarded or lost.
    pub bodies: u64,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRequest {
    pub method: String,
    /// Without the query: a signed one is a credential.
    pub path: String,
    /// Bytes of the body that arrived at the proxy, forwarded or not.
    pub body: u64,
    pub end: End,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Forwarded so far, or whole.
    Forwarded,
    Refused,
    /// The connection was cut under it.
    Cut,
}

#[derive(Debug)]
struct Line {
    target: SocketAddr,
    roughness: Roughness,
    /// Those that count towards the next cut.
    bytes: AtomicU64,
    /// A cut that fell on a refused request, and is still to come.
    owed: AtomicBool,
    /// Those that came after the connection's last answer: nothing is left to cut there.
    drained: AtomicU64,
    requests: Mutex<Vec<SeenRequest>>,
    /// Connections that are open.
    open: watch::Sender<usize>,
}

/// Why the requests of a connection end.
#[derive(Debug)]
enum Stop {
    /// The client has no more of them.
    Finished,
    /// This one is not forwarded.
    Refused {
        asks_for_retry: bool,
    },
    /// The server closed, as it does after refusing a body: its answer is still to arrive.
    Answered,
    Cut,
    Broken(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl RoughProxy {
    /// A proxy that the service behind it knows as its public address, so that signed URLs lead through it; and the
    /// flags to start that service with.
    pub fn before_a_service(roughness: Roughness) -> (Self, [String; 4]) {
        // The service's port has to be known before it runs. That another takes it meanwhile is not seen in practice.
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        let address = listener.local_addr().expect("a bound address");
        let proxy = Self::in_front_of(&format!("http://{address}").parse().expect("a URL"), roughness);
        let public = proxy.url().as_str().trim_end_matches('/').to_owned();
        (proxy, ["--listen".to_owned(), address.to_string(), "--public-url".to_owned(), public])
    }

    /// A proxy in front of the server that `url` leads to. Called within a runtime.
    pub fn in_front_of(url: &Url, roughness: Roughness) -> Self {
        let target = url.socket_addrs(|| None).expect("an address with a port")[0];
        let listener = listen().expect("a port on loopback");
        let address = listener.local_addr().expect("a bound address");
        let mut url = url.clone();
        url.set_ip_host(address.ip())
            .and_then(|()| url.set_port(Some(address.port())))
            .expect("a URL with a host");
        let (bytes, drained) = (AtomicU64::new(0), AtomicU64::new(0));
        let line = Arc::new(Line {
            target,
            roughness,
            bytes,
            owed: AtomicBool::default(),
            drained,
            requests: Mutex::default(),
            open: watch::Sender::default(),
        });
        let accepting = line.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let line = accepting.clone();
                line.open.send_modify(|open| *open += 1);
                tokio::spawn(async move {
                    // A line that breaks is what its client and its server see for themselves.
                    let _ = connection(client, &line).await;
                    line.open.send_modify(|open| *open -= 1);
                });
            }
        });
        Self { url, line }
    }

    /// The URL it stands in front of, leading through it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn sent(&self) -> Sent {
        let requests = self.requests();
        let count = |end| requests.iter().filter(|request| request.end == end).count() as u64;
        Sent {
            requests: requests.len() as u64,
            refused: count(End::Refused),
            cuts: count(End::Cut),
            bytes: self.line.bytes.load(SeqCst) + self.line.drained.load(SeqCst),
            bodies: requests.iter().map(|request| request.body).sum(),
        }
    }

    /// Waits until every connection has ended: what a client that is no more had sent is all counted, and the
    /// server behind has seen it.
    pub async fn until_quiet(&self) {
        let mut open = self.line.open.subscribe();
        let quiet = async {
            // Connections are accepted in turn: after this one none is left that was made before.
            let address = self.url.socket_addrs(|| None).expect("an address with a port")[0];
            let mut last = TcpStream::connect(address).await?;
            last.shutdown().await?;
            last.read_to_end(&mut Vec::new()).await?;
            open.wait_for(|open| *open == 0).await.map_err(io::Error::other)?;
            io::Result::Ok(())
        };
        let quiet = tokio::time::timeout(QUIET_TIMEOUT, quiet).await;
        quiet.expect("connections end with their client").expect("a proxy that runs");
    }

    /// Every request, in the order in which their heads arrived.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.line.requests.lock().expect("nobody panics with it").clone()
    }
}

impl Line {
    /// Counts bytes of a client; whether they cost it its connection.
    fn count(&self, bytes: u64) -> bool {
        let before = self.bytes.fetch_add(bytes, SeqCst);
        let is_due = self.roughness.cut_every.is_some_and(|every| before / every != (before + bytes) / every);
        is_due || self.owed.swap(false, SeqCst)
    }

    /// Notes a request whose head is here: its index, and whether it is to be refused, as the how many-th.
    fn begin(&self, method: &str, path: &str) -> (usize, Option<u64>) {
        let mut requests = self.requests.lock().expect("nobody panics with it");
        let number = requests.len() as u64 + 1;
        let every = self.roughness.refuse_every.filter(|every| number.is_multiple_of(*every));
        let end = if every.is_some() { End::Refused } else { End::Forwarded };
        requests.push(SeenRequest { method: method.to_owned(), path: path.to_owned(), body: 0, end });
        (requests.len() - 1, every.map(|every| number / every))
    }

    fn update(&self, request: usize, change: impl FnOnce(&mut SeenRequest)) {
        change(&mut self.requests.lock().expect("nobody panics with it")[request]);
    }
}

fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    socket.listen(BACKLOG)
}

async fn connection(mut client: TcpStream, line: &Line) -> io::Result<()> {
    let mut target = TcpStream::connect(line.target).await?;
    client.set_nodelay(true)?;
    target.set_nodelay(true)?;
    let ((from_client, mut to_client), (mut from_target, mut to_target)) = (client.split(), target.split());
    let mut incoming = Incoming::new(from_client, line);
    let stop = tokio::select! {
        stop = incoming.forward(&mut to_target) => stop,
        answered = tokio::io::copy(&mut from_target, &mut to_client) => {
            answered.map_or_else(Stop::Broken, |_| Stop::Answered)
        }
    };
    match stop {
        Stop::Finished => {
            to_target.shutdown().await?;
            tokio::io::copy(&mut from_target, &mut to_client).await?;
            return to_client.shutdown().await;
        }
        Stop::Refused { asks_for_retry } => {
            let retry = if asks_for_retry { "Retry-After: 0\r\n" } else { "" };
            let answer = format!(
                "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n{retry}\r\n"
            );
            to_client.write_all(answer.as_bytes()).await?;
        }
        Stop::Answered => {}
        // Both connections go with their streams.
        Stop::Cut => return Ok(()),
        Stop::Broken(error) => return Err(error),
    }
    let request = incoming.request();
    let drained = farewell(incoming.into_inner(), &mut to_client).await?;
    line.drained.fetch_add(drained, SeqCst);
    if let Some(request) = request {
        line.update(request, |request| request.body += drained);
    }
    Ok(())
}

/// Says no more, and waits for the client to have read it: what is closed with bytes unread resets the
/// connection, and the last answer may be lost. How many bytes came meanwhile.
async fn farewell(mut from: ReadHalf<'_>, to: &mut WriteHalf<'_>) -> io::Result<u64> {
    to.shutdown().await?;
    let mut drained = 0;
    let mut block = vec![0; 16 << 10];
    let drain = async {
        while drained < DRAIN {
            match from.read(&mut block).await? {
                0 => return Ok(()),
                length => drained += length as u64,
            }
        }
        // Unread from here on: the client cannot send, and its answer lies there.
        std::future::pending::<io::Result<()>>().await
    };
    // A time limit is how this ends for whoever has more to send, and a broken line how it ends for the hasty.
    let _ = tokio::time::timeout(LINGER, drain).await;
    Ok(drained)
}
