//! The oras package for Python: files as artifacts.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::{Action, Actions};
use serde_json::{Value, json};

use super::{Client, Machine, NAME, assert_stored, host, server, texts};
use crate::support::Stack;
use crate::support::accounts::{Accounts, Login};
use crate::support::api::{Answer, content, digest_of};
use crate::support::process::Server;
use crate::support::trial::Story;

const SCRIPT: &str = include_str!("oras.py");
/// Of the files of one artifact, in bytes; the first has several parts and chunks.
const FILES: [(&str, usize); 3] = [("weights.bin", 9_000_000), ("tokenizer.json", 40_000), ("card.md", 300)];
/// What oras sends for want of a config.
const EMPTY_CONFIG: &str = "{}";

pub fn cases() -> Vec<Story> {
    vec![
        ("oras_pushes_files_as_an_artifact_and_pulls_them_byte_by_byte", pushed),
        ("oras_pushes_large_files_in_chunks", chunked),
        ("oras_attaches_an_artifact_that_its_subject_is_asked_for", attached),
        ("oras_signs_in_as_a_robot_and_does_what_that_may", robot),
        ("oras_lists_as_many_tags_as_it_wants_and_deletes_them", tags),
    ]
}

/// oras on one machine, and the registry that it speaks to.
struct Oras {
    machine: Machine,
    base_url: String,
}

impl Oras {
    fn new(stack: &Arc<Stack>, server: &Server, name: &str) -> Self {
        let base_url = server.base_url().to_owned();
        Self { machine: Machine::new(stack, Client::Python, name), base_url }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.command();
        command.args(["-c", SCRIPT, host(&self.base_url)]).args(arguments);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Value {
        super::json(&self.machine.done(&mut self.command(arguments)).await)
    }

    fn target(&self, tag: &str) -> String {
        format!("{}/{NAME}:{tag}", host(&self.base_url))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.machine.home.join(name)
    }

    fn write_files(&self) {
        for (name, size) in FILES {
            fs::write(self.path(name), content(size)).expect("a file of our own");
        }
    }

    /// Pushes [`FILES`], in chunks of so many bytes; says the manifest's digest.
    async fn push(&self, tag: &str, chunk: &str) -> String {
        self.write_files();
        let target = self.target(tag);
        let names = FILES.map(|(name, _)| name);
        let digest = self.run(&[&["push", &target, chunk], &names[..]].concat()).await;
        digest.as_str().expect("a digest").to_owned()
    }

    async fn assert_pulled(&self, tag: &str) {
        let folder = self.path("back");
        self.run(&["pull", &self.target(tag), &folder.display().to_string()]).await;
        for (name, size) in FILES {
            assert!(fs::read(folder.join(name)).expect("it was pulled") == content(size), "{name}");
        }
    }
}

fn pushed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = server(&stack).await;
        let oras = Oras::new(&stack, &server, "ours");
        let digest = oras.push("v1", "").await;
        // The second time nothing is sent: every blob is asked for first.
        assert_eq!(oras.push("v1", "").await, digest);

        let theirs = Oras::new(&stack, &server, "theirs");
        theirs.assert_pulled("v1").await;
        let manifest = theirs.run(&["manifest", &theirs.target("v1")]).await;
        assert_eq!(manifest["annotations"], json!({ "org.example.colour": "bright orange" }));
        assert_eq!(manifest["config"]["digest"], digest_of(EMPTY_CONFIG.as_bytes()).to_string());
        for (layer, (name, size)) in manifest["layers"].as_array().expect("layers").iter().zip(FILES) {
            assert_eq!(layer["annotations"]["org.opencontainers.image.title"], name);
            assert_eq!(layer["digest"], digest_of(&content(size)).to_string());
        }
        assert_stored(&stack, FILES.len() + 1).await;
    }
    .boxed()
}

fn chunked(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = server(&stack).await;
        let oras = Oras::new(&stack, &server, "ours");
        oras.push("v1", "1000000").await;
        Oras::new(&stack, &server, "theirs").assert_pulled("v1").await;
        assert_stored(&stack, FILES.len() + 1).await;
    }
    .boxed()
}

fn attached(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = server(&stack).await;
        let oras = Oras::new(&stack, &server, "ours");
        let subject = oras.push("v1", "").await;
        fs::write(oras.path("review.txt"), "seaworthy").expect("a file of our own");
        let kind = "application/vnd.example.review";
        let headers = oras.run(&["attach", &oras.target("v1"), kind, "review.txt"]).await;
        let header = |name: &str| {
            let headers = headers.as_object().expect("headers");
            let found = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_str().expect("text")).expect(name)
        };
        assert_eq!(header("oci-subject"), subject);

        let http = crate::support::http();
        let url = format!("{}/v2/{NAME}/referrers/{subject}", server.base_url());
        for (artifact_type, expected) in [(kind, 1), ("application/vnd.example.other", 0)] {
            let get = http.get(&url).query(&[("artifactType", artifact_type)]);
            let referrers = Answer::to(get).await.expect(200).json();
            let found = referrers["manifests"].as_array().expect("an index");
            assert_eq!(found.len(), expected, "{referrers}");
            for descriptor in found {
                assert_eq!(descriptor["digest"], header("docker-content-digest"));
                assert_eq!(descriptor["artifactType"], kind);
            }
        }
        oras.run(&["pull", &oras.target("attached"), "attachment"]).await;
        let back = fs::read_to_string(oras.path("attachment/review.txt"));
        assert_eq!(back.expect("it was pulled"), "seaworthy");
    }
    .boxed()
}

fn robot(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--auth", "token"]).await;
        let accounts = Accounts::of(&stack).await;
        accounts.project("team", false).await;
        let pulls = Actions::NONE.with(Action::Pull);
        let pusher = accounts.robot("team", "ci", pulls.with(Action::Push)).await;
        let puller = accounts.robot("team", "cd", pulls).await;
        let oras = Oras::new(&stack, &server, "ours");
        oras.write_files();
        let target = oras.target("v1");
        let push = ["push", &target, "", FILES[0].0, FILES[1].0];
        let as_robot = |name: &str, login: &Login, arguments: &[&str]| {
            let mut command = oras.command(arguments);
            command.env("ORAS_USERNAME", format!("robot$team+{name}")).env("ORAS_PASSWORD", &login.secret);
            command
        };
        oras.machine.refused(&mut oras.command(&push)).await;
        oras.machine.refused(&mut as_robot("cd", &puller, &push)).await;
        oras.machine.refused(&mut as_robot("ci", &puller, &push)).await;
        assert_eq!(stack.objects().await, vec![], "nobody who may not has left anything");
        oras.machine.done(&mut as_robot("ci", &pusher, &push)).await;

        let pull = ["pull", &target, "back"];
        oras.machine.refused(&mut oras.command(&pull)).await;
        oras.machine.done(&mut as_robot("cd", &puller, &pull)).await;
        for (name, size) in &FILES[..2] {
            assert!(
                fs::read(oras.path("back").join(name)).expect("it was pulled") == content(*size),
                "{name}"
            );
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn tags(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = server(&stack).await;
        let oras = Oras::new(&stack, &server, "ours");
        for tag in ["v1", "v2", "v3"] {
            fs::write(oras.path("note.txt"), tag).expect("a file of our own");
            oras.run(&["push", &oras.target(tag), "", "note.txt"]).await;
        }
        let target = oras.target("v1");
        assert_eq!(texts(&oras.run(&["tags", &target]).await), ["v1", "v2", "v3"]);
        assert_eq!(texts(&oras.run(&["tags", &target, "2"]).await), ["v1", "v2"]);
        assert_eq!(texts(&oras.run(&["delete", &target, "v1", "v3", "v9"]).await), ["v1", "v3"]);
        assert_eq!(texts(&oras.run(&["tags", &target]).await), ["v2"]);
        let refused = oras.machine.refused(&mut oras.command(&["pull", &oras.target("v3"), "back"])).await;
        assert!(refused.contains("Not Found"), "{refused}");
    }
    .boxed()
}
