//! HTTP as bytes on a socket: what no client library would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// For an answer to bytes that are all there.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A request that asks to be the last on its connection.
pub fn request(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

pub async fn connect(base_url: &str) -> TcpStream {
    let address = base_url.strip_prefix("http://").expect("plain HTTP");
    TcpStream::connect(address).await.expect("the service listens")
}

/// Sends whole requests, of which the last says `connection: close` or is refused as such, and reads all answers.
pub async fn exchange(base_url: &str, bytes: impl AsRef<[u8]>) -> String {
    send(base_url, bytes.as_ref(), false).await
}

/// Sends `bytes`, hangs up, and reads what is answered all the same.
pub async fn break_off(base_url: &str, bytes: impl AsRef<[u8]>) -> String {
    send(base_url, bytes.as_ref(), true).await
}

async fn send(base_url: &str, bytes: &[u8], hang_up: bool) -> String {
    let mut stream = connect(base_url).await;
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    // It may answer, and close, before it has read all.
    let sent = async {
        let _ = writer.write_all(bytes).await;
        if hang_up {
            let _ = writer.shutdown().await;
        }
    };
    let both = async { tokio::join!(sent, reader.read_to_end(&mut answer)) };
    // A connection that is reset is closed too.
    let _ = tokio::time::timeout(ANSWER_LIMIT, both).await.expect("the service closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}
