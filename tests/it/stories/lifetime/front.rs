//! One address in front of whatever replica is there now, as a load balancer has it; slow when it is told to.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
    /// Holds each of the first `held` PUTs back for the time of `hold`.
    pub async fn holding(held: u32, hold: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
        let url = format!("http://{}", listener.local_addr().expect("a bound address"));
        let switch = Arc::new(Switch { target: Mutex::default(), held: held.into(), hold });
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
        let addresses = Url::parse(url).and_then(|url| Ok(url.socket_addrs(|| None))).expect("a URL");
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

/// Forwards both ways until either side ends.
async fn connection(mut client: TcpStream, switch: Arc<Switch>) -> io::Result<()> {
    let target = *switch.target.lock().expect("nobody panics in here");
    let Some(target) = target else { return Ok(()) };
    let mut target = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    target.set_nodelay(true)?;
    let (mut asked, mut answered) = (vec![0; BLOCK], vec![0; BLOCK]);
    loop {
        tokio::select! {
            length = client.read(&mut asked) => {
                let length = length?;
                if length == 0 {
                    return Ok(());
                }
                if asked.starts_with(HEAD) && switch.holds_one() {
                    tokio::time::sleep(switch.hold).await;
                }
                target.write_all(&asked[..length]).await?;
            }
            length = target.read(&mut answered) => {
                let length = length?;
                if length == 0 {
                    return Ok(());
                }
                client.write_all(&answered[..length]).await?;
            }
        }
    }
}
