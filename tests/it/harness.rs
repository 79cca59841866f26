//! The tests' own tools, tested: a look into a store that sees nothing would let every "nothing is left" pass.

mod rough;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use libtest_mimic::Trial;
use overside::domain::digest::Digest;
use overside::storage::key;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::support::servers::{BUCKET, REGISTRY_PASSWORD, REGISTRY_USER, Servers};
use crate::support::trial::trial;
use crate::support::{self, FaultProxy, Store, Strike};

pub fn trials(servers: &Servers) -> Vec<Trial> {
    let mut trials = vec![
        trial("harness::a_proxy_strikes_before_the_request_it_was_armed_for".into(), strikes_before),
        trial("harness::a_proxy_strikes_after_the_request_it_was_armed_for".into(), strikes_after),
        trial("harness::a_cut_ends_open_connections_and_takes_new_ones".into(), cuts),
        trial("harness::what_lies_in_a_folder_is_seen".into(), sees_files),
    ];
    trials.extend(rough::trials());
    for (name, endpoint) in [("seaweedfs", &servers.seaweedfs), ("localstack", &servers.localstack)] {
        let (endpoint, is_missing) = (endpoint.clone(), endpoint.is_none());
        let look = move || sees_bucket(endpoint.expect("a server that is there"));
        let look = trial(format!("harness::{name}::what_lies_in_a_bucket_is_seen"), look);
        trials.push(look.with_ignored_flag(is_missing));
    }
    let registries = servers.registry.clone().zip(servers.registry_with_password.clone());
    let is_missing = registries.is_none();
    let look = move || foreign_registries(registries.expect("servers that are there"));
    let name = "harness::one_foreign_registry_is_open_and_the_other_asks_for_a_password";
    trials.push(trial(name.into(), look).with_ignored_flag(is_missing));
    trials
}

async fn foreign_registries((open, closed): (Url, Url)) {
    let client = support::http();
    let v2 = |registry: Url| client.get(registry.join("v2/").expect("a URL"));
    let right = v2(closed.clone()).basic_auth(REGISTRY_USER, Some(REGISTRY_PASSWORD));
    let wrong = v2(closed.clone()).basic_auth(REGISTRY_USER, Some("guess"));
    for (request, expected) in [(v2(open), 200), (right, 200), (wrong, 401), (v2(closed), 401)] {
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), expected);
    }
}

async fn strikes_before() {
    let proxy = echo().await;
    let mut connection = connect(&proxy).await;
    assert_eq!(say(&mut connection, b"one").await.as_deref(), Some("one"));
    let struck = armed(&proxy, 2, Strike::Before);
    assert_eq!(say(&mut connection, b"two").await.as_deref(), Some("two"));
    assert!(proxy.is_armed());
    assert_eq!(say(&mut connection, b"three").await, None);
    assert!(struck.load(SeqCst) && !proxy.is_armed());
    assert_eq!((proxy.requests(), proxy.traffic().to_target), (2, 6));
}

async fn strikes_after() {
    let proxy = echo().await;
    let struck = armed(&proxy, 1, Strike::After);
    let mut connection = connect(&proxy).await;
    assert_eq!(say(&mut connection, b"one").await.as_deref(), Some("one"));
    assert!(struck.load(SeqCst));
    assert_eq!((proxy.traffic().to_target, proxy.traffic().to_client), (3, 3));
}

async fn cuts() {
    let proxy = echo().await;
    let mut connection = connect(&proxy).await;
    assert_eq!(say(&mut connection, b"one").await.as_deref(), Some("one"));
    proxy.cut();
    assert_eq!(say(&mut connection, b"two").await, None);
    let mut connection = connect(&proxy).await;
    assert_eq!(say(&mut connection, b"three").await.as_deref(), Some("three"));
}

async fn sees_files() {
    let folder = support::folder();
    let store = Store::filesystem(folder.path());
    assert!(store.leftovers().await.is_empty() && store.objects().await.is_empty());
    let Store::Filesystem { root } = &store else { unreachable!() };
    for path in ["temp/some/file".to_owned(), key::blob(&Digest::EMPTY).as_str().to_owned()] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, "").expect("a file");
    }
    assert_eq!(store.leftovers().await.len(), 2, "the folder and the file in it");
    assert_eq!(store.objects().await, [(key::blob(&Digest::EMPTY).as_str().to_owned(), 0)]);
    assert_eq!(store.blob_hash(&Digest::EMPTY).await, Some(Digest::EMPTY));
}

async fn sees_bucket(endpoint: Url) {
    let store = Store::s3(&endpoint);
    assert!(store.leftovers().await.is_empty() && store.objects().await.is_empty());
    assert_eq!(store.blob_bytes(&Digest::EMPTY).await, None);
    let Store::S3 { client, prefix, .. } = &store else { unreachable!() };
    let blob = key::blob(&Digest::EMPTY);
    for key in [format!("{prefix}/temp/some/object"), format!("{prefix}/{}", blob.as_str())] {
        client.put_object().bucket(BUCKET).key(&key).send().await.expect("an object");
        let multipart = client.create_multipart_upload().bucket(BUCKET).key(key).send().await;
        assert!(multipart.expect("a multipart upload").upload_id.is_some());
    }
    assert_eq!(store.leftovers().await.len(), 3, "one object and two multipart uploads");
    assert_eq!(store.objects().await, [(blob.as_str().to_owned(), 0)]);
    assert_eq!(store.blob_hash(&Digest::EMPTY).await, Some(Digest::EMPTY));
    store.remove().await;
    assert!(store.leftovers().await.is_empty() && store.objects().await.is_empty());
}

/// A proxy in front of a server that repeats what it hears.
async fn echo() -> FaultProxy {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
    let target = listener.local_addr().expect("a bound address");
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = connection.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    FaultProxy::in_front_of(&Url::parse(&format!("tcp://{target}")).expect("a URL")).await
}

async fn connect(proxy: &FaultProxy) -> TcpStream {
    let address = proxy.url().socket_addrs(|| None).expect("an address");
    TcpStream::connect(address.as_slice()).await.expect("a connection")
}

fn armed(proxy: &FaultProxy, request: u64, strike: Strike) -> Arc<AtomicBool> {
    let struck = Arc::new(AtomicBool::new(false));
    let set = struck.clone();
    proxy.arm(request, strike, move || set.store(true, SeqCst));
    struck
}

/// What comes back of some words; none when the line is dead.
async fn say(connection: &mut TcpStream, words: &[u8]) -> Option<String> {
    connection.write_all(words).await.ok()?;
    let mut heard = vec![0; words.len()];
    connection.read_exact(&mut heard).await.ok()?;
    String::from_utf8(heard).ok()
}
