//! A proxy on loopback that lets everything through but copies inside the store: it takes long over them, cuts them
//! off, refuses them or answers nonsense, as real stores and the proxies before them do.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// Larger than the head of any request.
const BLOCK: usize = 64 << 10;
/// What makes a PUT a copy.
const COPY: &[u8] = b"\r\nx-amz-copy-source: ";
/// Of a part alone.
const RANGE: &str = "x-amz-copy-source-range: bytes=";

/// What becomes of copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    Pass,
    /// Answered so at once.
    Refused(&'static str),
    /// Those of parts alone are answered so at once.
    PartsRefused(&'static str),
    /// Of a whole object, or a range of it, at so many bytes a second; cut off without an answer after `limit`.
    Slow {
        bytes_per_second: u64,
        /// What a copy without a range is taken to be long, in bytes.
        whole: u64,
        limit: Duration,
    },
    /// Neither answered nor cut off.
    Silent,
}

/// The root element of another answer than the one to `UploadPartCopy`, as `S3Proxy` 4.1 writes it.
pub const MANGLED: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\nconnection: close\r\n\r\n\
    <?xml version=\"1.0\"?><CopyObjectResult><ETag>\"9b2cf535f27731c974343645a3985328\"</ETag></CopyObjectResult>";
/// What a proxy says whose patience is over.
pub const GATEWAY_TIMEOUT: &str =
    "HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
/// Garage 2.5 of a source that it keeps in its tables.
pub const INLINED: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/xml\r\nconnection: close\r\n\r\n\
    <Error><Code>InvalidRequest</Code><Message>Source object is inlined (too small)</Message></Error>";

#[derive(Debug)]
pub struct CopyProxy {
    url: Url,
    line: Arc<Line>,
}

#[derive(Debug)]
struct Line {
    target: SocketAddr,
    copies: Mutex<Copies>,
    hindered: AtomicU64,
}

impl CopyProxy {
    /// A proxy in front of the store that `url` leads to.
    pub async fn in_front_of(url: &Url, copies: Copies) -> Self {
        let target = url.socket_addrs(|| None).expect("an address with a port")[0];
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
        let address = listener.local_addr().expect("a bound address");
        let mut url = url.clone();
        url.set_ip_host(address.ip())
            .and_then(|()| url.set_port(Some(address.port())))
            .expect("a URL with a host");
        let line = Arc::new(Line { target, copies: Mutex::new(copies), hindered: AtomicU64::new(0) });
        let accepting = Arc::clone(&line);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, Arc::clone(&accepting)));
            }
        });
        Self { url, line }
    }

    /// Without a slash at the end.
    pub fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    pub fn set(&self, copies: Copies) {
        *self.line.copies.lock().expect("nobody panics in here") = copies;
    }

    /// Copies that were not let through at once.
    pub fn hindered(&self) -> u64 {
        self.line.hindered.load(SeqCst)
    }
}

impl Line {
    fn copies(&self) -> Copies {
        *self.copies.lock().expect("nobody panics in here")
    }
}

/// Forwards both ways until either side ends, or a copy is answered here.
async fn connection(mut client: TcpStream, line: Arc<Line>) -> io::Result<()> {
    let mut target = TcpStream::connect(line.target).await?;
    client.set_nodelay(true)?;
    target.set_nodelay(true)?;
    let answer = {
        let ((from_client, mut to_client), (mut from_target, to_target)) = (client.split(), target.split());
        tokio::select! {
            answer = ask(from_client, to_target, &line) => answer?,
            answered = copy(&mut from_target, &mut to_client) => answered.map(|_| None)?,
        }
    };
    if let Some(answer) = answer {
        client.write_all(answer.as_bytes()).await?;
        client.shutdown().await?;
    }
    Ok(())
}

/// Forwards requests; the answer to the copy at which that ended, if one is given here.
async fn ask(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, line: &Line) -> io::Result<Option<&'static str>> {
    let mut block = vec![0; BLOCK];
    loop {
        let length = from.read(&mut block).await?;
        if length == 0 {
            return Ok(None);
        }
        let request = &block[..length];
        if request.starts_with(b"PUT ") && request.windows(COPY.len()).any(|at| at.eq_ignore_ascii_case(COPY))
        {
            let is_part = request.split(|byte| *byte == b'\r').next().is_some_and(is_of_part);
            let copies = line.copies();
            if !matches!((copies, is_part), (Copies::Pass, _) | (Copies::PartsRefused(_), false)) {
                line.hindered.fetch_add(1, SeqCst);
            }
            match copies {
                Copies::Refused(answer) => return Ok(Some(answer)),
                Copies::PartsRefused(answer) if is_part => return Ok(Some(answer)),
                Copies::Pass | Copies::PartsRefused(_) => {}
                Copies::Silent => std::future::pending().await,
                Copies::Slow { bytes_per_second, whole, limit } => {
                    let bytes = range_of(request).unwrap_or(whole);
                    let takes = Duration::from_millis(bytes * 1000 / bytes_per_second);
                    tokio::time::sleep(takes.min(limit)).await;
                    if takes > limit {
                        return Ok(None);
                    }
                }
            }
        }
        to.write_all(&block[..length]).await?;
    }
}

fn is_of_part(request_line: &[u8]) -> bool {
    String::from_utf8_lossy(request_line).contains("partNumber=")
}

/// How many bytes of its source a copy asks for, where it is not all.
fn range_of(request: &[u8]) -> Option<u64> {
    let head = String::from_utf8_lossy(request);
    let (_, range) = head.split_once(RANGE)?;
    let (start, end) = range.split("\r\n").next()?.split_once('-')?;
    Some(end.trim().parse::<u64>().ok()? + 1 - start.parse::<u64>().ok()?)
}
