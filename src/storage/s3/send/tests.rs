//! Against stores that know CRC32C, ignore it, or refuse it: a few lines of HTTP each.

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::*;
use crate::domain::upload::UploadId;
use crate::storage::key;
use crate::storage::s3::S3Settings;

/// What such a store makes of the checksum.
#[derive(Clone, Copy, PartialEq)]
enum Store {
    Echoes,
    Ignores,
    Refuses,
}

/// What it was sent: whether with the checksum, and the body's hash in the signature.
#[derive(Debug, PartialEq)]
struct Seen {
    crc32c: bool,
    payload: String,
}

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

#[tokio::test]
async fn a_store_that_echoes_the_checksum_gets_no_second_hash() {
    let (s3, mut seen) = bucket(Store::Echoes).await;
    for _ in 0..2 {
        assert_eq!(sent(&s3, &mut seen, b"bytes").await, [(true, UNSIGNED)]);
    }
}

#[tokio::test]
async fn a_store_that_does_not_is_sent_signed_bodies_the_first_one_included() {
    for store in [Store::Ignores, Store::Refuses] {
        let (s3, mut seen) = bucket(store).await;
        let digest = "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9";
        assert_eq!(sent(&s3, &mut seen, b"bytes").await, [(true, UNSIGNED), (false, digest)]);
        assert_eq!(sent(&s3, &mut seen, b"bytes").await, [(false, digest)]);
    }
}

/// Sends an object and tells with which requests.
async fn sent(
    s3: &S3,
    seen: &mut mpsc::UnboundedReceiver<Seen>,
    bytes: &'static [u8],
) -> Vec<(bool, &'static str)> {
    let mut batch = PartBuffer::default();
    batch.push(Bytes::from_static(bytes));
    let key = key::temp_tail(UploadId::generate(), Uuid::nil());
    s3.send_object(&key, &batch.into_body()).await.expect("it is taken in the end");
    let mut requests = Vec::new();
    while let Ok(Seen { crc32c, payload }) = seen.try_recv() {
        requests.push((crc32c, &*payload.leak()));
    }
    requests
}

async fn bucket(store: Store) -> (S3, mpsc::UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let (to, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, store, to.clone()));
        }
    });
    let settings = S3Settings {
        bucket: "bucket".to_owned(),
        prefix: String::new(),
        endpoint: Some(endpoint.clone()),
        public_endpoint: None,
        path_style: true,
    };
    let shared = aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "key", "secret", None, None, "tests",
        )))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let s3 = S3::with_config(settings, &shared);
    (s3, seen)
}

/// Answers the requests of one connection until it ends.
async fn serve(stream: TcpStream, store: Store, seen: mpsc::UnboundedSender<Seen>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut crc32c, mut payload) = (0, None, String::new());
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                // The request line, or the end of the head.
                if line == "\r\n" {
                    break;
                }
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "x-amz-checksum-crc32c" => crc32c = Some(value.to_owned()),
                "x-amz-content-sha256" => value.clone_into(&mut payload),
                _ => {}
            }
        }
        stream.read_exact(&mut vec![0; length]).await.ok()?;
        let refusal = "<Error><Code>InvalidRequest</Code><Message>no such checksum here</Message></Error>";
        let answer = match (&crc32c, store) {
            (Some(_), Store::Refuses) => {
                format!("400 Bad Request\r\ncontent-length: {}\r\n\r\n{refusal}", refusal.len())
            }
            (Some(echo), Store::Echoes) => {
                format!("200 OK\r\nx-amz-checksum-crc32c: {echo}\r\ncontent-length: 0\r\n\r\n")
            }
            _ => "200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
        };
        seen.send(Seen { crc32c: crc32c.is_some(), payload }).ok()?;
        stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await.ok()?;
    }
}
