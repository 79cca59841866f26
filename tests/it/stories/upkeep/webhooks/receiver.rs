//! A receiver of webhooks that fails as it is told to.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// For events to come, through failures and the pauses after them.
const LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy)]
pub enum Reply {
    Status(u16),
    /// The connection ends without an answer.
    HangUp,
    /// Nothing comes for longer than anybody waits.
    Silence,
}

type Behaviour = fn(usize) -> Reply;

#[derive(Debug)]
pub struct Receiver {
    /// Without a slash at the end.
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    connections: usize,
    /// The heads of all requests.
    heads: Vec<String>,
    /// The bodies of those that were taken.
    taken: Vec<Value>,
}

impl Receiver {
    /// `behaviour` says what becomes of each attempt, counted from 0.
    pub async fn new(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = State { behaviour, connections: 0, heads: Vec::new(), taken: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().expect("state").connections += 1;
                tokio::spawn(receive(stream, Arc::clone(&shared)));
            }
        });
        Self { url, state }
    }

    pub fn behave(&self, behaviour: Behaviour) {
        self.state.lock().expect("state").behaviour = behaviour;
    }

    pub fn connections(&self) -> usize {
        self.state.lock().expect("state").connections
    }

    pub fn attempts(&self) -> usize {
        self.heads().len()
    }

    pub fn heads(&self) -> Vec<String> {
        self.state.lock().expect("state").heads.clone()
    }

    /// What was taken, once it is so many.
    pub async fn delivered(&self, count: usize) -> Vec<Value> {
        let taken = || self.state.lock().expect("state").taken.clone();
        self.wait(|| taken().len() >= count).await;
        taken()
    }

    pub async fn attempted(&self, count: usize) {
        self.wait(|| self.attempts() >= count).await;
    }

    async fn wait(&self, is_there: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_there() {
            assert!(begun.elapsed() < LIMIT, "{:?}", self.state.lock().expect("state"));
            tokio::time::sleep(POLL).await;
        }
    }
}

async fn receive(mut stream: TcpStream, state: Arc<Mutex<State>>) -> Option<()> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let (head, body) = loop {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
        if body.len() >= length {
            break (format!("{head}\r\n"), body.to_owned());
        }
    };
    let reply = {
        let mut state = state.lock().expect("state");
        let reply = (state.behaviour)(state.heads.len());
        state.heads.push(head);
        if let Reply::Status(200..=299) = reply {
            state.taken.push(serde_json::from_str(&body).expect("JSON"));
        }
        reply
    };
    match reply {
        Reply::Status(status) => {
            let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
        Reply::HangUp => {}
        Reply::Silence => tokio::time::sleep(LIMIT).await,
    }
    Some(())
}
