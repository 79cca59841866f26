//! Hugging Face's client, as people install it: folders are uploaded, changed and downloaded.

use std::process::Command;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::Role;
use serde_json::{Value, json};

use crate::stories::clients::{Client, Machine};
use crate::support::database::Database;
use crate::support::trial::Story;
use crate::support::{Accounts, FaultProxy, Stack, Store};

const NEWEST: Client = Client::Current("hf");
/// Each with its stories: the newest, and the last of the lines before.
pub const CLIENTS: [(&str, Client); 3] = [
    ("hub::client", NEWEST),
    ("hub::client_1", Client::Current("hf_1")),
    ("hub::client_0", Client::Current("hf_0")),
];
const SCRIPT: &str = include_str!("client.py");
const LARGE: u64 = 64 << 20;
const LITTLE: u64 = 100_000;
/// The service's own traffic may be one byte in so many of the large file's.
const TRAFFIC_SHARE: u64 = 100;

pub fn cases(client: Client) -> Vec<Story> {
    match client {
        Client::Current("hf_1") => vec![("a_folder_is_uploaded_and_downloaded_with_1_33", |s| {
            older(s, Client::Current("hf_1")).boxed()
        })],
        Client::Current("hf_0") => vec![("a_folder_is_uploaded_and_downloaded_with_0_36", |s| {
            older(s, Client::Current("hf_0")).boxed()
        })],
        _ => vec![
            ("a_model_is_uploaded_changed_and_downloaded_past_the_service", model),
            ("a_dataset_of_a_project_is_for_whoever_may", dataset),
        ],
    }
}

struct Hf {
    machine: Machine,
    endpoint: String,
    token: String,
}

impl Hf {
    fn new(stack: &Arc<Stack>, client: Client, endpoint: &str, name: &str) -> Self {
        let machine = Machine::new(stack, client, name);
        Self { machine, endpoint: endpoint.trim_end_matches('/').to_owned(), token: "hf_anything".to_owned() }
    }

    fn with_environment(&self, mut command: Command) -> Command {
        command.env("HF_ENDPOINT", &self.endpoint).env("HF_TOKEN", &self.token);
        command.env("HF_HOME", self.machine.path("hf-home")).env("HF_HUB_DISABLE_XET", "1");
        // Nobody but the service is to be asked for anything.
        command.envs([("HF_HUB_DISABLE_TELEMETRY", "1"), ("HF_HUB_DISABLE_UPDATE_CHECK", "1")]);
        command.env("HF_HUB_DISABLE_PROGRESS_BARS", "1");
        command
    }

    fn hf(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.command();
        command.args(arguments);
        self.with_environment(command)
    }

    /// The interpreter of the client's own environment.
    fn python(&self, arguments: &[&str]) -> Command {
        let hf = self.machine.command();
        let python = std::path::Path::new(hf.get_program()).with_file_name("python");
        let mut command = Command::new(python);
        for (name, value) in hf.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.args(["-c", SCRIPT]).args(arguments);
        self.with_environment(command)
    }

    async fn run(&self, arguments: &[&str]) -> Value {
        crate::stories::clients::json(&self.machine.done(&mut self.python(arguments)).await)
    }

    async fn upload(&self, repository: &str, folder: &str, kind: &str) {
        self.machine.done(&mut self.hf(&["upload", repository, folder, "--repo-type", kind])).await;
    }

    /// Downloads a repository and compares it with a folder.
    async fn assert_same(&self, repository: &str, folder: &str, kind: &str) {
        let back = self.machine.path("back");
        let _ = std::fs::remove_dir_all(&back);
        self.machine
            .done(&mut self.hf(&["download", repository, "--repo-type", kind, "--local-dir", &back]))
            .await;
        let mut diff = Command::new("diff");
        diff.args(["-r", "-x", ".cache", folder, &back]);
        let diff = diff.output().expect("diff is everywhere");
        assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));
    }
}

fn bytes(proxy: &FaultProxy) -> u64 {
    let traffic = proxy.traffic();
    traffic.to_target + traffic.to_client
}

fn model(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let proxy = FaultProxy::in_front_of(&server.base_url().parse().expect("a URL")).await;
        let hf = Hf::new(&stack, NEWEST, proxy.url().as_str(), "machine");
        let folder = hf.machine.path("folder");
        hf.run(&["write", &folder, &LARGE.to_string(), "1"]).await;
        hf.upload("team/Model-1", &folder, "model").await;
        hf.assert_same("team/Model-1", &folder, "model").await;
        let passed = bytes(&proxy);
        if matches!(stack.store, Store::S3 { .. }) {
            assert!(passed < LARGE / TRAFFIC_SHARE, "{passed} bytes passed the service, of {LARGE}");
        }
        // What has not changed is not sent again, and what has is.
        std::fs::write(format!("{folder}/config.json"), "{\"changed\": true}").expect("a file of our own");
        std::fs::write(format!("{folder}/README.md"), "---\nlicense: mit\n---\n").expect("a file of our own");
        hf.upload("team/Model-1", &folder, "model").await;
        hf.assert_same("team/Model-1", &folder, "model").await;
        let listed = hf.run(&["snapshot", "team/Model-1", "model", &hf.machine.path("cache")]).await;
        assert_eq!(listed.as_array().map(Vec::len), Some(6));
        assert_eq!(stack.objects().await.len(), 7);
        let seen = hf.run(&["branches", "team/Model-1"]).await;
        assert_eq!(seen["refused"][0], 412);
        assert!(seen["refused"][1].as_str().is_some_and(|text| text.contains("commit again")), "{seen}");
        assert_eq!(seen["dev"], json!(["README.md", "config.json", "empty", "new.txt", "weights.bin"]));
        assert_eq!(
            (seen["main"].as_array().map(Vec::len), &seen["sizes"]["weights.bin"]),
            (Some(6), &json!(LARGE))
        );
        stack.settled().await;
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn dataset(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.guarded_server(&[]).await;
        let accounts = Accounts::of(&stack).await;
        accounts.project("team", false).await;
        for (name, role) in [("dora", Role::Developer), ("guest", Role::Guest)] {
            accounts.user_as(name, "team", role).await;
        }
        accounts.user("stranger").await;
        let mut hf = Hf::new(&stack, NEWEST, server.base_url(), "machine");
        let folder = hf.machine.path("folder");
        hf.run(&["write", &folder, &LITTLE.to_string(), "2"]).await;
        let refused = async |hf: &Hf, verb: &[&str]| hf.machine.refused(&mut hf.hf(verb)).await;
        let upload = ["upload", "team/data", &folder, "--repo-type", "dataset"];
        let download = ["download", "team/data", "--repo-type", "dataset"];
        let message = refused(&hf, &upload).await;
        assert!(message.contains("make sure you are authenticated"), "{message}");
        hf.token = accounts.token("dora").await;
        hf.upload("team/data", &folder, "dataset").await;
        hf.token = accounts.token("guest").await;
        hf.assert_same("team/data", &folder, "dataset").await;
        std::fs::write(format!("{folder}/config.json"), "{}").expect("a file of our own");
        let message = refused(&hf, &upload).await;
        assert!(message.contains("guest is guest of project team"), "{message}");
        hf.token = accounts.token("stranger").await;
        let message = refused(&hf, &download).await;
        assert!(message.contains("403") || message.contains("no permission"), "{message}");
        refused(&hf, &upload).await;
        // Bytes alone, where a robot's name and secret stand for a token.
        let robot = accounts.robot("team", "ci", overside::domain::access::Actions::ALL).await;
        hf.token = format!("{}:{}", robot.name, robot.secret);
        hf.upload("team/data", &folder, "dataset").await;
        hf.assert_same("team/data", &folder, "dataset").await;
    }
    .boxed()
}

/// On one stack they sign in, on the other nobody does.
async fn older(stack: Arc<Stack>, client: Client) {
    let signs_in = matches!(stack.database, Database::Sqlite { .. });
    let server = if signs_in { stack.guarded_server(&[]).await } else { stack.server(&[]).await };
    // They take their token along to a bucket that has the same host, whatever its port.
    let endpoint = server.base_url().replace("127.0.0.1", "localhost");
    let mut hf = Hf::new(&stack, client, &endpoint, "machine");
    if signs_in {
        let accounts = Accounts::of(&stack).await;
        accounts.project("team", false).await;
        accounts.user_as("dora", "team", Role::Developer).await;
        hf.token = accounts.token("dora").await;
    }
    let folder = hf.machine.path("folder");
    hf.run(&["write", &folder, &(LARGE / 8).to_string(), "3"]).await;
    hf.upload("team/Model-1", &folder, "model").await;
    std::fs::write(format!("{folder}/config.json"), "{}").expect("a file of our own");
    hf.upload("team/Model-1", &folder, "model").await;
    hf.assert_same("team/Model-1", &folder, "model").await;
    let listed = hf.run(&["snapshot", "team/Model-1", "model", &hf.machine.path("cache")]).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(5));
    assert_eq!(hf.run(&["branches", "team/Model-1"]).await["refused"][0], 412);
}
