//! tus-js-client, which Uppy and others stand on, in Node: it uploads, is killed, and goes on.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::Role;

use crate::stories::clients::{Client, Machine};
use crate::support::accounts::{Accounts, PASSWORD};
use crate::support::api::{Repository, content, digest_of};
use crate::support::trial::Story;
use crate::support::{FaultProxy, Stack};

pub const CLIENT: Client = Client::Current("tus");
const SCRIPT: &str = include_str!("client.js");
/// Parts of 8 MiB and a tail.
const SIZE: usize = 20_000_000;
const CHUNK: u64 = 3_000_000;

pub fn cases() -> Vec<Story> {
    vec![
        ("tus_js_client_uploads_a_file_whole_in_chunks_and_without_a_length", uploads),
        ("tus_js_client_that_was_killed_goes_on_where_it_was", killed),
        ("tus_js_client_signs_in_by_a_header", signs_in),
    ]
}

struct Person {
    machine: Machine,
    endpoint: String,
}

impl Person {
    fn new(stack: &Arc<Stack>, base_url: &str, bytes: &[u8]) -> Self {
        let machine = Machine::new(stack, CLIENT, "person");
        std::fs::write(machine.path("file"), bytes).expect("a file");
        Self { machine, endpoint: format!("{}/tus/team/app", base_url.trim_end_matches('/')) }
    }

    fn command(&self, settings: &[(&str, String)]) -> Command {
        let mut command = self.machine.command();
        command.args(["-e", SCRIPT]).env("FILE", self.machine.path("file")).env("ENDPOINT", &self.endpoint);
        command.env("URLS", self.machine.path("urls")).envs(settings.iter().cloned());
        command
    }
}

fn uploads(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let bytes = content(SIZE);
        let (person, digest) = (Person::new(&stack, server.base_url(), &bytes), digest_of(&bytes));
        let in_chunks = vec![("CHUNK", CHUNK.to_string())];
        let deferred = vec![("CHUNK", CHUNK.to_string()), ("DEFER", "1".to_owned())];
        for settings in [Vec::new(), in_chunks, deferred] {
            let said = person.machine.done(&mut person.command(&settings)).await;
            assert_eq!(said.lines().last(), Some(digest.to_string().as_str()), "{said}");
            let _ = std::fs::remove_file(Path::new(&person.machine.path("urls")));
        }
        let read = Repository::of(server.base_url(), "team/app").read(&digest).await.expect(200);
        assert!(read.body == bytes);
        stack.settled().await;
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn killed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let proxy = FaultProxy::in_front_of(&server.base_url().parse().expect("a URL")).await;
        let bytes = content(SIZE);
        let (person, digest) = (Person::new(&stack, proxy.url().as_str(), &bytes), digest_of(&bytes));
        let settings = vec![("CHUNK", CHUNK.to_string())];
        let mut command = person.command(&settings);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("node starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let at = tokio::task::spawn_blocking(move || {
            let mut lines = lines.map_while(Result::ok).filter(|line| line.starts_with("at "));
            lines.nth(2)
        });
        assert_eq!(at.await.expect("it is read"), Some(format!("at {}", 3 * CHUNK)));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        let before = proxy.traffic().to_target;
        let said = person.machine.done(&mut person.command(&settings)).await;
        assert!(said.starts_with("goes on\n"), "{said}");
        assert_eq!(said.lines().last(), Some(digest.to_string().as_str()), "{said}");
        let again = proxy.traffic().to_target - before;
        assert!(again < SIZE as u64 - 2 * CHUNK, "{again} bytes were sent the second time");
        let read = Repository::of(server.base_url(), "team/app").read(&digest).await.expect(200);
        assert!(read.body == bytes);
    }
    .boxed()
}

fn signs_in(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--auth", "token"]).await;
        let accounts = Accounts::of(&stack).await;
        accounts.project("team", false).await;
        accounts.user_as("dora", "team", Role::Developer).await;
        let token = accounts.token("dora").await;
        let bytes = content(100_000);
        let (person, digest) = (Person::new(&stack, server.base_url(), &bytes), digest_of(&bytes));
        let message = person.machine.refused(&mut person.command(&[])).await;
        assert!(message.contains("401") && message.contains("sign in"), "{message}");
        let basic =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("dora:{PASSWORD}"));
        for header in [format!("Bearer {token}"), format!("Basic {basic}")] {
            let said = person.machine.done(&mut person.command(&[("AUTHORIZATION", header)])).await;
            assert_eq!(said.lines().last(), Some(digest.to_string().as_str()), "{said}");
            let _ = std::fs::remove_file(Path::new(&person.machine.path("urls")));
        }
    }
    .boxed()
}
