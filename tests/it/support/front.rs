//! One address in front of whatever replica is there now, as a load balancer has it; slow when it is told to.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

const BLOCK: usize = 64 << 10;
/// How the requests begin that are held back. An answer is no sign that one ended: a refusal comes in its middle.
const HEAD: &[u8] = b"PUT ";

/// Forwards to the address it was last told.
#[derive(Debug)]
pub struct Front {
    url: String,
    switch: Arc<Switch>,
}

#[derive(Debug, Default)]
struct Switch {
    target: Mutex<Option<SocketAddr>>,
    /// PUTs still to be held back.
    held: AtomicU32,
    hold: Duration,
}

impl Front {
    /// Holds each of the first `puts` PUTs back for the time of `hold`.
    pub async fn holding(puts: u32, hold: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
        let url = format!("http://{}", listener.local_addr().expect("a bound address"));
        let switch = Arc::new(Switch { target: Mutex::default(), held: puts.into(), hold });
        let accepting = Arc::clone(&switch);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, Arc::clone(&accepting)));
            }
        });
        Self { url, switch }
    }

    pub async fn open() -> Self {
        Self::holding(0, Duration::ZERO).await
    }

    /// Without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn lead_to(&self, url: &str) {
        let addresses = Url::parse(url).expect("a URL").socket_addrs(|| None);
        let target = addresses.expect("an address with a port").first().copied();
        *self.switch.target.lock().expect("nobody panics in here") = target;
    }

    /// PUTs still to be held back.
    pub fn held(&self) -> u32 {
        self.switch.held.load(SeqCst)
    }
}

impl Switch {
    fn holds_one(&self) -> bool {
        self.held.fetch_update(SeqCst, SeqCst, |held| held.checked_sub(1)).is_ok()
    }
}

/// Forwards both ways until either side ends; each for itself, for a store that refuses early answers while
/// nobody reads the rest of the question.
async fn connection(client: TcpStream, switch: Arc<Switch>) -> io::Result<()> {
    let target = *switch.target.lock().expect("nobody panics in here");
    let Some(target) = target else { return Ok(()) };
    let target = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    target.set_nodelay(true)?;
    let ((from_client, mut to_client), (mut from_target, to_target)) =
        (client.into_split(), target.into_split());
    tokio::select! {
        result = ask(from_client, to_target, &switch) => result,
        result = tokio::io::copy(&mut from_target, &mut to_client) => result.map(drop),
    }
}

async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, switch: &Switch) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        let length = from.read(&mut block).await?;
        if length == 0 {
            return Ok(());
        }
        if block.starts_with(HEAD) && switch.holds_one() {
            tokio::time::sleep(switch.hold).await;
        }
        to.write_all(&block[..length]).await?;
    }
}
