//! What the README and `docs/` tell people to type is typed: every block of `sh`, in order, on one server.
//!
//! A block that cannot run says why, as `sh no-run: REASON`. A reader has some files and programs, so they are here too;
//! what is told of `localhost:5000` happens where the server listens, and `registry.example` is another one.

mod scripts;

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};

use crate::support::api::content;
use crate::support::layout::{Layout, Packing};
use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{Servers, Stack, command_line};

/// In the order of a reader.
const DOCUMENTS: [&str; 14] = [
    "README.md",
    "docs/protocol.md",
    "docs/commands.md",
    "docs/clients.md",
    "docs/javascript.md",
    "docs/mlflow.md",
    "docs/hugging-face.md",
    "docs/tus.md",
    "docs/portal.md",
    "docs/webhooks.md",
    "docs/production.md",
    "docs/proofs.md",
    "docs/stores.md",
    "docs/performance.md",
];
/// For whoever has switched signing in on.
const DOCUMENTS_WITH_ACCOUNTS: [&str; 5] =
    ["docs/access.md", "docs/configuration.md", "docs/docker-push.md", "docs/git-lfs.md", "docs/ollama.md"];
/// Blocks that cannot run here: each is one that nobody notices when it gets out of date.
const MAX_NOT_RUN: usize = 5;

const PASSWORD: &str = "correct horse battery staple";
const TERMINATE_LIMIT: Duration = Duration::from_secs(30);
/// A model, a table: their bytes do not matter.
const FILE_SIZE: usize = 100_000;

pub fn cases() -> Vec<Story> {
    let mut cases = scripts::cases();
    cases.extend([
        ("every_command_in_the_documents_works", |stack| run_all(stack).boxed()),
        ("the_documents_leave_few_blocks_out_and_lead_nowhere_that_is_not_there", checked),
        ("a_flag_that_the_documents_name_is_a_flag", |stack| flags(stack).boxed()),
    ] as [Story; 3]);
    cases
}

async fn run_all(stack: Arc<Stack>) {
    let reader = Reader::new(&stack).await;
    let mut server = stack.server(&[]).await;
    for document in DOCUMENTS {
        reader.follow(document, &server).await;
    }
    server.terminate(TERMINATE_LIMIT).await.expect("it ends by itself");

    let mut command = stack.binary();
    command.args(["serve", "--auth", "token"]).env("OVERSIDE_ADMIN_PASSWORD", PASSWORD);
    let server = Server::start(&mut command, &stack.folder().join("with-accounts.log")).await;
    for document in DOCUMENTS_WITH_ACCOUNTS {
        reader.follow(document, &server).await;
    }
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

fn checked(_: Arc<Stack>) -> BoxFuture<'static, ()> {
    async {
        let known = [&DOCUMENTS[..], &DOCUMENTS_WITH_ACCOUNTS].concat();
        for file in fs::read_dir(root().join("docs")).expect("a folder") {
            let name = format!("docs/{}", file.expect("a document").file_name().display());
            assert!(known.contains(&&*name), "{name} is in no list of this story");
        }
        let not_run: Vec<_> = known.iter().flat_map(|document| Document::read(document).not_run).collect();
        assert!(not_run.len() <= MAX_NOT_RUN, "{not_run:#?}");
        let pages = ["examples/browser/README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"];
        for document in known.iter().chain(&pages) {
            Document::read(document).assert_links();
        }
    }
    .boxed()
}

/// Compared with the manual pages, which are made of the flags themselves.
async fn flags(stack: Arc<Stack>) {
    let folder = stack.folder().join("man");
    let done = stack.command(&["man", &folder.display().to_string()]).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let pages = fs::read_dir(folder).expect("manual pages").map(|page| {
        let page = fs::read_to_string(page.expect("a page").path()).expect("a page");
        page.replace("\\-", "-")
    });
    let pages: Vec<_> = pages.collect();
    // What is told of `scripts/bench` and of others' clients has flags of its own.
    let is_ours =
        |name: &&&str| !["performance", "clients", "ollama"].iter().any(|other| name.contains(other));
    let documents = DOCUMENTS.iter().chain(&DOCUMENTS_WITH_ACCOUNTS).filter(is_ours);
    for document in documents {
        for flag in named_after("`--", &Document::read(document).text) {
            let is_flag = pages.iter().any(|page| named_after("--", page).any(|name| name == flag));
            assert!(is_flag, "{document}: nothing takes --{flag}");
        }
    }
}

/// The names that follow `mark` in a text.
fn named_after<'a>(mark: &'a str, text: &'a str) -> impl Iterator<Item = &'a str> {
    let end = |c: char| c != '-' && !c.is_ascii_alphanumeric();
    text.split(mark).skip(1).map(move |rest| rest.split(end).next().unwrap_or_default())
}

/// Somebody who types what they read, in one folder.
struct Reader {
    stack: Arc<Stack>,
    folder: PathBuf,
    programs: PathBuf,
    other_registry: Server,
}

impl Reader {
    async fn new(stack: &Arc<Stack>) -> Self {
        let [folder, programs, other] = ["reader", "programs", "other"].map(|name| stack.folder().join(name));
        for made in [&folder, &programs, &other, &folder.join("tables")] {
            fs::create_dir(made).expect("a folder of our own");
        }
        symlink(env!("CARGO_BIN_EXE_overside"), programs.join("overside")).expect("a link of our own");
        // No daemon runs here: what matters is what comes out of `docker save` and goes into `docker load`.
        let docker = "[ \"$1\" = load ] && exec tar -t\n[ \"$1 $2\" = 'save app' ] && exec cat image.tar\n";
        for (name, script) in [("docker", docker), ("pg_dump", "echo 'CREATE TABLE a (b int);'\n")] {
            let path = programs.join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}")).expect("a file of our own");
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a file of our own");
        }
        for (name, size) in [("model.bin", 0), ("tables/2026-10.parquet", 1), ("tables/2026-11.parquet", 2)] {
            fs::write(folder.join(name), content(FILE_SIZE + size)).expect("a file of our own");
        }
        for name in ["password.txt", "admin-password.txt"] {
            fs::write(folder.join(name), format!("{PASSWORD}\n")).expect("a file of our own");
        }
        image(stack, &folder).await;
        let mut command = stack.binary();
        command.arg("serve").env("OVERSIDE_DATABASE", format!("sqlite://{}/overside.db", other.display()));
        command.env("OVERSIDE_STORAGE", format!("file://{}/store", other.display()));
        let other_registry = Server::start(&mut command, &stack.folder().join("other.log")).await;
        Self { stack: Arc::clone(stack), folder, programs, other_registry }
    }

    /// Runs the blocks of a document as one script, in which each line has the number that it has in the document.
    async fn follow(&self, document: &str, server: &Server) {
        let host = command_line::host(server.base_url());
        let port = host.rsplit(':').next().expect("a port");
        let script = Document::read(document).script;
        let script = script.replace("registry.example", command_line::host(self.other_registry.base_url()));
        let script = script.replace(":5000", &format!(":{port}"));
        for url in script.split("://").skip(1) {
            let is_here = ["localhost", "127.0.0.1"].iter().any(|here| url.starts_with(here));
            assert!(is_here, "{document} leads away from this machine: {url:.40}");
        }
        let path = self.folder.join(document.replace('/', "-"));
        fs::write(&path, script).expect("a file of our own");

        let command = self.stack.binary();
        let search = std::env::var("PATH").unwrap_or_default();
        let mut bash = self.stack.program(Path::new("bash"));
        for (name, value) in command.get_envs() {
            bash.env(name, value.unwrap_or_default());
        }
        bash.env("PATH", format!("{}:{search}", self.programs.display())).current_dir(&self.folder);
        bash.env("OVERSIDE_SERVER", server.base_url()).args(["-Eeuo", "pipefail"]).arg(&path);
        let done = self.stack.run(&mut bash).await;
        assert_eq!(done.code, Some(0), "{document}: {}", done.stderr);
    }
}

/// `docker save app > image.tar`
async fn image(stack: &Stack, folder: &Path) {
    let mut layout = Layout::new(stack.folder().join("image"));
    let image = layout.image("amd64", Packing::TarGzip, &[FILE_SIZE, FILE_SIZE]);
    layout.tag("v1", image);
    let servers = Servers::from_environment();
    let skopeo =
        servers.skopeo.expect("a trial whose client is missing is only run when somebody asks for it");
    let archive = format!("docker-archive:{}/image.tar:app:v1", folder.display());
    let mut copy = stack.program(&skopeo);
    copy.args(["--insecure-policy", "copy", &layout.reference("v1"), &archive]);
    let done = stack.run(&mut copy).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

/// A page of Markdown, seen by somebody who types what is in it.
struct Document {
    name: String,
    text: String,
    /// Its blocks of `sh`, and an empty line for every other.
    script: String,
    /// Where the blocks are that cannot run, and why.
    not_run: Vec<String>,
}

impl Document {
    fn read(name: &str) -> Self {
        let path = root().join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (mut script, mut not_run) = (String::new(), Vec::new());
        let mut block = None;
        for (line, number) in text.lines().zip(1..) {
            if number == 1 {
                let _ = writeln!(script, "trap 'echo \"{name}:$LINENO: $BASH_COMMAND\" >&2' ERR");
                assert!(!line.starts_with("```"), "{name}: a page begins with its title");
                continue;
            }
            let Some(info) = line.trim_start().strip_prefix("```") else {
                let _ = writeln!(script, "{}", if block == Some("sh") { line } else { "" });
                continue;
            };
            script.push('\n');
            assert!(line.starts_with("```"), "{name}:{number}: a block that is indented is not found");
            block = if block.is_some() { None } else { Some(info) };
            match info.split_once(" no-run: ") {
                Some(("sh", why)) => not_run.push(format!("{name}:{number}: {why}")),
                _ => assert!(["", "sh", "json"].contains(&info), "{name}:{number}: what is {info}?"),
            }
        }
        assert!(block.is_none(), "{name}: a block does not end");
        Self { name: name.to_owned(), text, script, not_run }
    }

    /// What it links to in this tree is there.
    fn assert_links(&self) {
        let folder = root().join(&self.name).parent().expect("a folder").to_owned();
        for link in self.text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            let is_there =
                target.is_empty() || target.starts_with("https://") || folder.join(target).exists();
            assert!(is_there, "{}: {target} is not there", self.name);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
