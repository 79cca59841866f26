//! Ollama: what it asks of a registry beside what OCI says, request by request, and its own library.

// The library, for models of many tensors.
mod client;
// Signing in with a key.
mod keys;
// Models of one large file, part by part, and where pulls go.
mod parts;
// The whole blob at once.
mod whole;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use overside::domain::ssh_key::SshKey;
use reqwest::header::CONTENT_LENGTH;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::Group;
use crate::support::api::{Answer, Repository, Upload};
use crate::support::{Servers, Shows, Stack, Store};

/// The least that a store takes of all parts but the last.
const PART: usize = 5 << 20;

pub fn groups(servers: &Servers) -> Vec<Group> {
    let stories = [parts::cases(), whole::cases(), keys::cases()].concat();
    let client = Group::new("ollama::client", Shows::Databases, client::cases());
    vec![
        Group::new("ollama", Shows::Databases, stories),
        client.if_there(client::CLIENT.program(servers).is_some()),
    ]
}

fn has_bucket(stack: &Stack) -> bool {
    matches!(stack.store, Store::S3 { .. })
}

/// Begins as for a model of one large file.
async fn begin(repository: &Repository) -> Upload {
    repository.begin().await
}

/// Begins as for a model of many tensors.
async fn begin_whole(repository: &Repository, digest: &str, size: usize) -> Answer {
    let post = repository.http.post(repository.url("uploads/")).query(&[("digest", digest)]);
    let post = post.header("X-Redirect-Uploads", "2").header("X-Content-Length", size);
    Answer::to(post.header(CONTENT_LENGTH, 0)).await
}

/// A key pair, as Ollama makes one where it starts for the first time.
struct Key {
    pair: Ed25519KeyPair,
    /// PKCS#8, which OpenSSH's readers take too.
    pem: String,
    line: String,
}

impl Key {
    fn generate() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("the same key");
        let body = STANDARD.encode(pkcs8.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        let public = SshKey::from_bytes(pair.public_key().as_ref()).expect("32 bytes");
        Self { pair, pem, line: public.to_string() }
    }

    /// Registers it with the command.
    async fn register(&self, stack: &Stack, user: &str) {
        let line = format!("{} {user}@laptop", self.line);
        let added = ["user", "key", "add", &line, "--user", user, "--json", "--database"];
        assert_eq!(stack.command(&added).await.code, Some(0));
    }
}
