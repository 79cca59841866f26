//! A server whose every byte is counted, and those that pass it by on the way to its store as well.

use url::Url;

use crate::support::front::Front;
use crate::support::process::Server;
use crate::support::proxy::Traffic;
use crate::support::{FaultProxy, Stack, Store};

/// A server, and the lines to it and to its store.
#[derive(Debug)]
pub struct Counted {
    pub server: Server,
    /// Where it is spoken to on the line that is counted, without a slash at the end.
    pub url: String,
    lines: Vec<FaultProxy>,
    _front: Front,
}

impl Counted {
    pub async fn start(stack: &Stack) -> Self {
        // The server's address is only known once it runs, and by then it has to know the line's.
        let front = Front::open().await;
        let mut lines = vec![FaultProxy::in_front_of(&Url::parse(front.url()).expect("a URL")).await];
        let url = lines[0].url().as_str().trim_end_matches('/').to_owned();
        let server = match &stack.store {
            Store::Filesystem { .. } => stack.server(&["--public-url", &url]).await,
            Store::S3 { endpoint, .. } => {
                let line = FaultProxy::in_front_of(endpoint).await;
                let server = stack.server(&["--s3-public-endpoint", line.url().as_str()]).await;
                lines.push(line);
                server
            }
        };
        front.lead_to(server.base_url());
        Self { server, url, lines, _front: front }
    }

    /// On all lines.
    pub fn traffic(&self) -> Traffic {
        let sum = |bytes: fn(Traffic) -> u64| self.lines.iter().map(|line| bytes(line.traffic())).sum();
        Traffic { to_target: sum(|traffic| traffic.to_target), to_client: sum(|traffic| traffic.to_client) }
    }
}
