//! A way to a server that can be shut and opened again.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

#[derive(Debug)]
pub struct Door {
    pub url: Url,
    open: watch::Sender<bool>,
}

impl Door {
    /// An open door in front of the server that `url` leads to.
    pub async fn to(url: &Url) -> Self {
        let target = url.socket_addrs(|| None).expect("an address with a port")[0];
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
        let mut url = url.clone();
        let port = listener.local_addr().expect("a bound address").port();
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(port)).expect("a port");
        let (open, is_open) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut is_open = is_open.clone();
                if !*is_open.borrow() {
                    continue;
                }
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(target).await?;
                    tokio::select! {
                        copied = copy_bidirectional(&mut client, &mut server) => copied.map(drop),
                        _ = is_open.wait_for(|open| !open) => Ok(()),
                    }
                });
            }
        });
        Self { url, open }
    }

    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }
}
