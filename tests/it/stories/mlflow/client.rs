//! MLflow's client, as people install it: a folder with a large file is logged, listed, downloaded and deleted.

use std::process::Command;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::Role;
use serde_json::{Value, json};

use crate::stories::clients::{Client, Machine};
use crate::support::accounts::{Accounts, PASSWORD};
use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{FaultProxy, Stack, Store};

pub const CLIENT: Client = Client::Current("mlflow");
const SCRIPT: &str = include_str!("client.py");
/// Of a run that shall be quick, from here on a file goes in parts, which are of 10 MiB by themselves.
const LARGE_FROM: u64 = 20 << 20;
/// Three parts, and a bit.
const QUICK: u64 = (30 << 20) + 7;
/// MLflow's own idea of a large file begins at 500 MiB.
const FULL: u64 = 600 << 20;
/// The service's own traffic may be one byte in so many of the large file's.
const TRAFFIC_SHARE: u64 = 100;
/// Of the other files, and what is said of all of them.
const SMALL: u64 = 100_000;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_folder_with_a_large_file_is_logged_and_comes_back_byte_by_byte", logged),
        ("whoever_signs_in_logs_and_deletes_what_they_may", signed_in),
        ("where_room_is_limited_a_large_file_goes_through_the_service", limited),
        ("older_clients_go_direct_where_their_environment_says_so", by_environment),
    ]
}

struct Mlflow {
    machine: Machine,
    tracking: String,
    uri: String,
    size: u64,
    environment: Vec<(&'static str, String)>,
}

impl Mlflow {
    fn new(stack: &Arc<Stack>, base_url: &str, project: &str) -> Self {
        let base_url = base_url.trim_end_matches('/');
        let host = base_url.split("//").nth(1).expect("a host");
        let uri = format!("mlflow-artifacts://{host}/{project}/7/artifacts");
        let size = if stack.takes_gigabytes() { FULL } else { QUICK };
        let machine = Machine::new(stack, CLIENT, project);
        Self { machine, tracking: base_url.to_owned(), uri, size, environment: Vec::new() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.command();
        command.args(["-c", SCRIPT, arguments[0], &self.tracking, &self.uri]).args(&arguments[1..]);
        // Nobody but the service is to be asked for anything.
        command.envs([("MLFLOW_DISABLE_TELEMETRY", "true"), ("DO_NOT_TRACK", "true")]);
        command.env("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1");
        if self.size < FULL {
            command.env("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", LARGE_FROM.to_string());
        }
        command.envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())));
        command
    }

    async fn run(&self, arguments: &[&str]) -> Value {
        crate::stories::clients::json(&self.machine.done(&mut self.command(arguments)).await)
    }

    async fn refused(&self, arguments: &[&str]) -> String {
        self.machine.refused(&mut self.command(arguments)).await
    }

    /// Logs the folder, and has it back.
    async fn round_trip(&self) {
        let (folder, back) = (self.machine.path("folder"), self.machine.path("back"));
        let size = self.size.to_string();
        let logged = self.run(&["log", &folder, &size, "model"]).await;
        let expected = json!({
            "model/MLmodel": 300, "model/data/empty": 0, "model/data/table one.csv": 70_000,
            "model/data/weights.bin": self.size,
        });
        assert_eq!(logged, expected);
        assert_eq!(
            self.run(&["download", &back, &folder, "model"]).await,
            json!([]),
            "what came back otherwise"
        );
    }
}

fn has_bucket(stack: &Stack) -> bool {
    matches!(stack.store, Store::S3 { .. })
}

/// A service whose clients are counted.
async fn counted(stack: &Stack, server: &Server) -> FaultProxy {
    let proxy = FaultProxy::in_front_of(&server.base_url().parse().expect("a URL")).await;
    assert_eq!(stack.objects().await.len(), 0);
    proxy
}

fn bytes(proxy: &FaultProxy) -> u64 {
    let traffic = proxy.traffic();
    traffic.to_target + traffic.to_client
}

fn logged(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let proxy = counted(&stack, &server).await;
        let mlflow = Mlflow::new(&stack, proxy.url().as_str(), "team");
        mlflow.round_trip().await;
        let passed = bytes(&proxy);
        if has_bucket(&stack) {
            let most = mlflow.size / TRAFFIC_SHARE + 2 * SMALL;
            assert!(passed < most, "{passed} bytes passed the service, of {}", mlflow.size);
        }
        assert_eq!(stack.objects().await.len(), 4);
        assert_eq!(mlflow.run(&["list", "model/data"]).await.as_object().map(serde_json::Map::len), Some(3));
        let left = mlflow.run(&["delete", "model/data"]).await;
        assert_eq!(left, json!({ "model/MLmodel": 300 }));
        assert_eq!(mlflow.run(&["delete", ""]).await, json!({}));
        // A large blob is put in its place behind the answer.
        stack.settled().await;
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn signed_in(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--auth", "token"]).await;
        let accounts = Accounts::of(&stack).await;
        accounts.project("team", false).await;
        let developer = accounts.user_as("dora", "team", Role::Developer).await;
        accounts.user_as("max", "team", Role::Maintainer).await;
        accounts.user_as("guest", "team", Role::Guest).await;
        let mut mlflow = Mlflow { size: QUICK, ..Mlflow::new(&stack, server.base_url(), "team") };
        let message = mlflow.refused(&["list", ""]).await;
        assert!(message.contains("401"), "{message}");
        let by_password = |name: &str| {
            vec![
                ("MLFLOW_TRACKING_USERNAME", name.to_owned()),
                ("MLFLOW_TRACKING_PASSWORD", PASSWORD.to_owned()),
            ]
        };
        assert_eq!(developer.secret, PASSWORD);
        mlflow.environment = by_password("dora");
        mlflow.round_trip().await;
        let message = mlflow.refused(&["delete", "model"]).await;
        assert!(message.contains("403") && message.contains("dora is developer"), "{message}");
        mlflow.environment = by_password("guest");
        assert_eq!(mlflow.run(&["list", ""]).await.as_object().map(serde_json::Map::len), Some(4));
        let message = mlflow.refused(&["log", &mlflow.machine.path("other"), "1", ""]).await;
        assert!(message.contains("403"), "{message}");
        mlflow.environment = vec![("MLFLOW_TRACKING_TOKEN", accounts.token("max").await)];
        assert_eq!(mlflow.run(&["delete", "model"]).await, json!({}));
    }
    .boxed()
}

fn limited(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        stack.database.limit("team", [1 << 40, -1]).await;
        let proxy = counted(&stack, &server).await;
        let mlflow = Mlflow { size: QUICK, ..Mlflow::new(&stack, proxy.url().as_str(), "team") };
        mlflow.round_trip().await;
        assert!(bytes(&proxy) > QUICK);
        assert_eq!(stack.objects().await.len(), 4);
        // A large blob is put in its place behind the answer.
        stack.settled().await;
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn by_environment(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let proxy = counted(&stack, &server).await;
        let mut mlflow = Mlflow { size: QUICK, ..Mlflow::new(&stack, proxy.url().as_str(), "team") };
        // As a tracking server names it that does not know of `mlflow-artifacts:`.
        mlflow.uri = format!("{}/api/2.0/mlflow-artifacts/artifacts/team/7/artifacts", mlflow.tracking);
        mlflow.environment = vec![("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true".to_owned())];
        mlflow.round_trip().await;
        if has_bucket(&stack) {
            let sent = proxy.traffic().to_target;
            assert!(sent < QUICK / TRAFFIC_SHARE + 2 * SMALL, "{sent} bytes were sent through the service");
        }
    }
    .boxed()
}
