//! `examples/browser` in Chromium: a page of one origin, the service and the bucket of others.

mod portal;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{CorsConfiguration, CorsRule};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::Role;
use overside::domain::digest::Digest;
use overside::domain::hash::Hasher;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::process::{Process, Server};
use crate::support::trial::{Story, not_here};
use crate::support::{Accounts, Servers, Stack, Store};

/// For a page to load, hash and send, on a machine that is busy.
const REPORT_LIMIT: Duration = Duration::from_mins(2);
/// All tests of a client, some of which wait for time limits of their own, on a machine that is busy.
const TESTS_LIMIT: Duration = Duration::from_mins(4);
/// Less than the page sends in parts, and eight parts of 8 MiB with a byte more.
const SMALL: u64 = 1_000_000;
const LARGE: u64 = (64 << 20) + 1;
/// More than four parts, so that one of those that travel at once has arrived.
const SOME_PARTS: u64 = 34_000_000;
const PARTS: u64 = 9;
/// A browser without a window, which calls nobody but us. Its sandbox wants more rights than a container has.
const CHROMIUM_FLAGS: [&str; 10] = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    // Without it the browser ends once the page is loaded.
    "--remote-debugging-port=0",
];

pub fn cases() -> Vec<Story> {
    let cases: Vec<Story> = vec![
        ("a_page_of_another_origin_uploads_by_one_put_and_in_parts", |stack| uploads(stack).boxed()),
        ("uppy_uploads_by_one_put_that_is_signed_for_it", |stack| uppy(stack).boxed()),
        ("a_page_goes_on_with_an_upload_that_was_stopped", |stack| resumes(stack).boxed()),
        ("the_client_in_javascript_passes_its_tests_in_node", |stack| javascript(stack, "node").boxed()),
        ("the_client_in_javascript_passes_its_tests_in_a_browser", |stack| {
            javascript(stack, "browser").boxed()
        }),
        ("a_page_whose_origin_is_not_allowed_uploads_nothing", refused),
    ];
    [cases, portal::cases()].concat()
}

async fn uploads(stack: Arc<Stack>) {
    let site = Site::new(&stack).await;
    let server = site.server(&["--cors-origin", &site.origin]).await;
    for (size, puts) in [(0, 1), (SMALL, 1), (LARGE, PARTS)] {
        let report = site.visit(&server, &format!("size={size}")).await;
        let digest = report[0].done();
        assert_eq!(report[0].puts, puts, "{report:?}");
        assert_eq!(downloaded(&server, digest).await, (size, digest.parse().expect("a digest")));
    }
    drop(server);
    site.remove().await;
}

async fn uppy(stack: Arc<Stack>) {
    if Servers::from_environment().uppy.is_none() {
        not_here("npm was not there to fetch Uppy with");
    }
    let site = Site::new(&stack).await;
    let server = site.server(&["--cors-origin", &site.origin]).await;
    let report = site.visit(&server, &format!("size={SMALL}&page=/uppy/index.html")).await;
    let digest = report[0].done();
    assert_eq!(report[0].puts, 1, "{report:?}");
    assert_eq!(downloaded(&server, digest).await, (SMALL, digest.parse().expect("a digest")));
    drop(server);
    site.remove().await;
}

async fn resumes(stack: Arc<Stack>) {
    let site = Site::new(&stack).await;
    let server = site.server(&["--cors-origin", &site.origin]).await;
    let report = site.visit(&server, &format!("size={LARGE}&stop={SOME_PARTS}")).await;
    let [stopped, done] = &report[..] else { panic!("{report:?}") };
    assert!(stopped.said.starts_with("stopped; "), "{report:?}");
    assert!(done.puts - stopped.puts < PARTS, "it sends nothing again that has arrived: {report:?}");
    let digest = done.done();
    assert_eq!(downloaded(&server, digest).await, (LARGE, digest.parse().expect("a digest")));
    drop(server);
    site.remove().await;
}

/// `clients/js` has tests of its own, which are told where a service is.
async fn javascript(stack: Arc<Stack>, place: &str) {
    let servers = Servers::from_environment();
    let Some(built) = &servers.javascript else { not_here("npm was not there to build it with") };
    let folder = built.ancestors().nth(2).expect("a file in dist");
    let site = Site::new(&stack).await;
    let store = match (&site.bucket, &servers.seaweedfs) {
        (Some((client, name)), Some(endpoint)) => {
            allow(client, name, "*").await;
            endpoint.as_str().trim_end_matches('/').to_owned()
        }
        _ => String::new(),
    };
    let flags = ["--auth", "token", "--url-lifetime", "2s", "--part-size", "5MiB", "--cors-origin", "*"];
    let server = site.server(&flags).await;
    let accounts = Accounts::of(&stack).await;
    accounts.project("team", false).await;
    let login = accounts.user_as("dev", "team", Role::Maintainer).await;
    let url = server.base_url().trim_end_matches('/').to_owned();
    let mut node = stack.program(Path::new("node"));
    node.current_dir(folder).args(["--test", &format!("test/{place}.test.js")]);
    node.env("OVERSIDE_TEST_URL", &url)
        .env("OVERSIDE_TEST_STORE", if store.is_empty() { &url } else { &store });
    node.envs([("OVERSIDE_TEST_REPOSITORY", "team/js"), ("OVERSIDE_TEST_USERNAME", &login.name)]);
    node.env("OVERSIDE_TEST_PASSWORD", &login.secret);
    node.env("OVERSIDE_TEST_CHROMIUM", servers.chromium.expect("this is run where there is one"));
    let done = stack.run_within(&mut node, TESTS_LIMIT).await;
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("# fail 0") && !done.stdout.contains("# pass 0"), "{}", done.stdout);
    drop(server);
    site.remove().await;
}

fn refused(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let site = Site::new(&stack).await;
        for flags in [&[][..], &["--cors-origin", "http://127.0.0.1:1"]] {
            let server = site.server(flags).await;
            let report = site.visit(&server, &format!("size={SMALL}")).await;
            assert!(report[0].said.contains("--cors-origin") && report[0].puts == 0, "{report:?}");
        }
        site.remove().await;
    }
    .boxed()
}

/// The example as somebody serves it, and a bucket whose rules allow its origin.
struct Site {
    stack: Arc<Stack>,
    origin: String,
    reports: tokio::sync::Mutex<mpsc::UnboundedReceiver<Vec<Report>>>,
    serving: JoinHandle<()>,
    bucket: Option<(Client, String)>,
}

/// What the page said after one click, and how many bodies it had begun to send by then.
#[derive(Debug, Deserialize)]
struct Report {
    said: String,
    puts: u64,
}

impl Report {
    #[track_caller]
    fn done(&self) -> &str {
        let digest = self.said.split_once('@').map(|(_, digest)| digest);
        digest.filter(|_| self.said.starts_with("done: ")).unwrap_or_else(|| panic!("{}", self.said))
    }
}

impl Site {
    async fn new(stack: &Arc<Stack>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
        let origin = format!("http://{}", listener.local_addr().expect("a bound address"));
        let (reporting, reports) = mpsc::unbounded_channel();
        let script = |text: &'static str| {
            get(move || async move { ([(CONTENT_TYPE, "text/javascript")], text).into_response() })
        };
        let routes = Router::new()
            .route(
                "/index.html",
                get(|| async { Html(include_str!("../../../../examples/browser/index.html")) }),
            )
            .route("/upload.js", script(include_str!("../../../../examples/browser/upload.js")))
            .route("/sha256.js", script(include_str!("../../../../examples/browser/sha256.js")))
            .route(
                "/uppy/index.html",
                get(|| async { Html(include_str!("../../../../examples/browser/uppy/index.html")) }),
            )
            .route(
                "/uppy/bundle.js",
                get(|| async {
                    let bundle = Servers::from_environment().uppy.and_then(|path| std::fs::read(path).ok());
                    ([(CONTENT_TYPE, "text/javascript")], bundle.unwrap_or_default())
                }),
            )
            .route("/drive.html", get(|| async { Html(include_str!("browser/drive.html")) }))
            .route(
                "/report",
                post(move |body: String| async move {
                    let report = serde_json::from_str(&body).expect("a report");
                    reporting.send(report).expect("somebody waits");
                }),
            );
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        let bucket = match &stack.store {
            // One of its own: rules are a bucket's, and the other stories' has none.
            Store::S3 { client, .. } => {
                let name = format!("browser-{}", Uuid::now_v7().as_simple());
                client.create_bucket().bucket(&name).send().await.expect("a bucket");
                allow(client, &name, &origin).await;
                Some((client.clone(), name))
            }
            Store::Filesystem { .. } => None,
        };
        let reports = tokio::sync::Mutex::new(reports);
        Self { stack: Arc::clone(stack), origin, reports, serving, bucket }
    }

    async fn server(&self, flags: &[&str]) -> Server {
        let mut command = self.stack.binary();
        command.arg("serve").args(flags);
        if let Some((_, name)) = &self.bucket {
            command.env("OVERSIDE_STORAGE", format!("s3://{name}"));
        }
        let log = self.stack.folder().join(format!("server-{}.log", Uuid::now_v7().as_simple()));
        Server::start(&mut command, &log).await
    }

    /// Opens the page that types into the example, and waits for what it saw.
    async fn visit(&self, server: &Server, query: &str) -> Vec<Report> {
        let program = Servers::from_environment().chromium;
        let program = program.expect("a trial whose client is missing is only run when somebody asks for it");
        let profile = self.stack.folder().join(format!("profile-{}", Uuid::now_v7().as_simple()));
        let mut command = self.stack.program(&program);
        command.args(CHROMIUM_FLAGS).arg(format!("--user-data-dir={}", profile.display()));
        command.arg(format!("{}/drive.html?server={}&{query}", self.origin, server.base_url()));
        let log = std::fs::File::create(profile.with_extension("log")).expect("a log file");
        command.stderr(log.try_clone().expect("a second handle")).stdout(log);
        let _browser = Process::spawn(&mut command);
        let mut reports = self.reports.lock().await;
        let report = tokio::time::timeout(REPORT_LIMIT, reports.recv()).await;
        report.unwrap_or_else(|_| panic!("{}", log_of(&profile))).expect("the page is still served")
    }

    async fn remove(&self) {
        if let Some((client, name)) = &self.bucket {
            let listed = client.list_objects_v2().bucket(name).send().await.expect("a list");
            for object in listed.contents.unwrap_or_default() {
                let _ = client.delete_object().bucket(name).key(object.key.unwrap_or_default()).send().await;
            }
            let _ = client.delete_bucket().bucket(name).send().await;
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Gives a bucket the rule of `localstack/cors.json`, but for this origin alone.
async fn allow(client: &Client, name: &str, origin: &str) {
    let rule = CorsRule::builder()
        .allowed_origins(origin)
        .set_allowed_methods(Some(["GET", "HEAD", "PUT"].map(str::to_owned).to_vec()))
        .allowed_headers("*")
        .expose_headers("ETag")
        .build();
    let rules = CorsConfiguration::builder().cors_rules(rule.expect("a rule")).build().expect("rules");
    client
        .put_bucket_cors()
        .bucket(name)
        .cors_configuration(rules)
        .send()
        .await
        .expect("a bucket with rules");
}

/// A blob's size and digest, as whoever asks the service gets it.
async fn downloaded(server: &Server, digest: &str) -> (u64, Digest) {
    let http = crate::support::http_with(|builder| builder.redirect(reqwest::redirect::Policy::limited(1)));
    let url = format!("{}/v2/team/browser/blobs/{digest}", server.base_url());
    let bytes = http.get(url).send().await.expect("an answer").bytes().await.expect("a blob");
    let mut hasher = Hasher::default();
    hasher.update(&bytes);
    (bytes.len() as u64, hasher.finish())
}

fn log_of(profile: &Path) -> String {
    let log = std::fs::read(profile.with_extension("log")).unwrap_or_default();
    format!("the page reported nothing within {REPORT_LIMIT:?}: {}", String::from_utf8_lossy(&log))
}
