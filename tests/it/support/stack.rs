//! Everything one story needs: a database, a store, and the real binary set up for both.

use std::env;
use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use overside::domain::digest::Digest;
use tempfile::TempDir;

use super::database::Database;
use super::other_store::OtherStore;
use super::prepared;
use super::process::{Process, Server};
use super::servers::{REGION, Servers};
use super::store::Store;

/// A command on a small database and store takes seconds; a longer one hangs.
const COMMAND_LIMIT: Duration = Duration::from_mins(2);
/// A copy of what stories upload takes a store far less.
const SETTLING_LIMIT: Duration = Duration::from_secs(3);
const SETTLING_POLL: Duration = Duration::from_millis(10);
const LONGEST_SETTLING_POLL: Duration = Duration::from_millis(160);
/// Lines of each log that a failed story shows.
const LOG_LINES: usize = 120;

/// Which of the combinations that Overside is tested on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackKind {
    PostgresSeaweedFs,
    PostgresLocalStack,
    SqliteFilesystem,
    /// One that only some runs have.
    SqliteOther(OtherStore),
}

/// What a story is about, and so on which stacks it has something to show of its own.
#[derive(Debug, Clone, Copy)]
pub enum Shows {
    /// What each store answers in its own way: how it is proven, what is lost or left there.
    Everything,
    /// What a database decides, or one kind of store: both are met.
    Databases,
    /// Replicas on several machines, and their wire to the database: SQLite has neither.
    Replicas,
    /// What no database and no store has a part in.
    Once,
}

impl Shows {
    /// LocalStack is met in a full run only: it tells apart little that SeaweedFS does not, and is slow.
    pub const fn stacks(self, is_full: bool) -> &'static [StackKind] {
        match self {
            Self::Everything if is_full => &StackKind::ALL,
            Self::Everything | Self::Databases => {
                &[StackKind::PostgresSeaweedFs, StackKind::SqliteFilesystem]
            }
            Self::Replicas => &[StackKind::PostgresSeaweedFs],
            Self::Once => &[StackKind::SqliteFilesystem],
        }
    }
}

#[derive(Debug)]
pub struct Stack {
    pub kind: StackKind,
    pub database: Database,
    pub store: Store,
    folder: TempDir,
    logs: Mutex<Vec<PathBuf>>,
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub struct CommandOutput {
    /// None when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl CommandOutput {
    /// What it printed, if it ended well.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// What it complained of, if it failed by itself.
    #[track_caller]
    pub fn refused(self) -> String {
        assert!(self.code.is_some_and(|code| code != 0), "{}{}", self.stdout, self.stderr);
        self.stderr
    }
}

impl StackKind {
    const ALL: [Self; 3] = [Self::PostgresSeaweedFs, Self::PostgresLocalStack, Self::SqliteFilesystem];

    pub const fn name(self) -> &'static str {
        match self {
            Self::PostgresSeaweedFs => "postgres+seaweedfs",
            Self::PostgresLocalStack => "postgres+localstack",
            Self::SqliteFilesystem => "sqlite+filesystem",
            Self::SqliteOther(store) => store.stack_name(),
        }
    }

    /// Whether the servers it needs are there.
    pub fn is_there(self, servers: &Servers) -> bool {
        match self {
            Self::PostgresSeaweedFs => servers.postgres.is_some() && servers.seaweedfs.is_some(),
            Self::PostgresLocalStack => servers.postgres.is_some() && servers.localstack.is_some(),
            Self::SqliteFilesystem => true,
            Self::SqliteOther(store) => servers.other_stores.contains_key(&store),
        }
    }
}

impl Stack {
    /// Whether a story sends gigabytes here: in a full run, and on the one stack whose store has a limit that they pass.
    pub fn takes_gigabytes(&self) -> bool {
        self.kind == StackKind::PostgresSeaweedFs && Servers::from_environment().is_full
    }

    /// As a service leaves it that has started there once: the database migrated, the store probed.
    pub async fn fresh(kind: StackKind, servers: &Servers) -> Self {
        let stack = Self::on(kind, servers, true).await;
        // Of other stores each start shall see for itself what they do.
        if !matches!(kind, StackKind::SqliteOther(_)) {
            prepared::probed(&stack.store, &stack.database, None).await;
        }
        stack
    }

    /// As nobody has touched it: what starts first makes the database's tables and probes the store.
    pub async fn bare(kind: StackKind, servers: &Servers) -> Self {
        Self::on(kind, servers, false).await
    }

    async fn on(kind: StackKind, servers: &Servers, is_migrated: bool) -> Self {
        let folder = super::folder();
        let store = match kind {
            StackKind::PostgresSeaweedFs => servers.seaweedfs.as_ref().map(Store::s3),
            StackKind::PostgresLocalStack => servers.localstack.as_ref().map(Store::s3),
            StackKind::SqliteFilesystem => Some(Store::filesystem(folder.path())),
            StackKind::SqliteOther(other) => {
                servers.other_stores.get(&other).map(|endpoint| Store::other(other, endpoint))
            }
        };
        let store = store.expect("a story whose store is there");
        let database = match (kind, &servers.postgres) {
            (StackKind::PostgresSeaweedFs | StackKind::PostgresLocalStack, Some(postgres)) => {
                Database::postgres(postgres, is_migrated).await
            }
            _ => Database::sqlite(folder.path(), is_migrated).await,
        };
        Self { kind, database, store, folder, logs: Mutex::default() }
    }

    /// Starts one replica: `overside serve` with these flags on top of the stack's settings.
    pub async fn server(&self, flags: &[&str]) -> Server {
        let log = self.log("server");
        Server::start(self.binary().arg("serve").args(flags), &log).await
    }

    /// Runs `overside` with these arguments and the stack's settings to its end.
    pub async fn command(&self, arguments: &[&str]) -> CommandOutput {
        self.run(self.binary().args(arguments)).await
    }

    /// As [`Self::command`], with this on its standard input.
    pub async fn command_with_input(&self, input: &str, arguments: &[&str]) -> CommandOutput {
        self.run_with_input(input, self.binary().args(arguments)).await
    }

    /// As [`Self::run`], with this on its standard input.
    pub async fn run_with_input(&self, input: impl AsRef<[u8]>, command: &Command) -> CommandOutput {
        let file = self.folder().join("input");
        std::fs::write(&file, input).expect("a file");
        // A shell opens it: a process of ours is started with nothing on its standard input.
        let mut shell = self.program(Path::new("/bin/sh"));
        for (name, value) in command.get_envs() {
            shell.env(name, value.unwrap_or_default());
        }
        if let Some(folder) = command.get_current_dir() {
            shell.current_dir(folder);
        }
        shell.args(["-c", "file=$1; shift; \"$@\" < \"$file\"", "sh"]).arg(&file).arg(command.get_program());
        self.run(shell.args(command.get_args())).await
    }

    /// Runs a [`Self::binary`] or [`Self::program`] that a story has set up further to its end.
    pub async fn run(&self, command: &mut Command) -> CommandOutput {
        self.run_within(command, COMMAND_LIMIT).await
    }

    /// Of a command that takes longer than others.
    pub async fn run_within(&self, command: &mut Command, limit: Duration) -> CommandOutput {
        let (stdout, stderr) = (self.log("stdout"), self.log("stderr"));
        command.stdout(File::create(&stdout).expect("a log file"));
        command.stderr(File::create(&stderr).expect("a log file"));
        let status = Process::spawn(command).wait(limit).await;
        let status = status.unwrap_or_else(|| panic!("{command:?} did not end within {limit:?}"));
        let text = |path| String::from_utf8_lossy(&std::fs::read(path).expect("its output")).into_owned();
        CommandOutput { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Waits for what servers do behind their answers: placing and discarding. What a server that was killed
    /// was about to do is not waited for.
    pub async fn settled(&self) {
        self.settled_within(SETTLING_LIMIT).await;
    }

    pub async fn settled_within(&self, limit: Duration) {
        let (deadline, mut pause) = (Instant::now() + limit, SETTLING_POLL);
        while Instant::now() < deadline && self.database.unsettled().await > 0 {
            tokio::time::sleep(pause).await;
            pause = LONGEST_SETTLING_POLL.min(pause * 2);
        }
    }

    /// Everything temporary that is in the store once it has settled, read straight from it; a healthy end
    /// leaves none.
    pub async fn temp_leftovers(&self) -> Vec<String> {
        self.settled().await;
        self.store.leftovers().await
    }

    /// The published objects' keys with their sizes in bytes, read straight from the store.
    pub async fn objects(&self) -> Vec<(String, u64)> {
        self.settled().await;
        self.store.objects().await
    }

    /// What the published bytes of `digest` really hash to, read straight from the store.
    pub async fn blob_hash(&self, digest: &Digest) -> Option<Digest> {
        self.settled().await;
        self.store.blob_hash(digest).await
    }

    /// A published blob's bytes, read straight from the store.
    pub async fn blob_bytes(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.settled().await;
        self.store.blob_bytes(digest).await
    }

    /// A folder of this story's own, removed with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The end of everything the binary has logged or printed, for a story that failed.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for path in self.logs.lock().expect("no story panics in here").iter() {
            let log = std::fs::read(path).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LOG_LINES)..];
            let name = path.file_name().unwrap_or_default().display();
            let _ = writeln!(text, "---- {name}, last {} of {} lines", shown.len(), lines.len());
            let _ = writeln!(text, "{}", shown.join("\n"));
        }
        text
    }

    /// Everything that the binary has logged or printed.
    pub fn whole_logs(&self) -> String {
        let logs = self.logs.lock().expect("no story panics in here");
        let log = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        logs.iter().map(log).collect()
    }

    /// Removes what would pile up in servers that outlive the story.
    pub async fn remove(&self) {
        self.database.remove().await;
        self.store.remove().await;
    }

    fn log(&self, name: &str) -> PathBuf {
        let mut logs = self.logs.lock().expect("no story panics in here");
        let path = self.folder.path().join(format!("{:03}-{name}.log", logs.len()));
        logs.push(path.clone());
        path
    }

    /// The binary, with the stack's settings in its environment, where a story's flags override them.
    pub fn binary(&self) -> Command {
        let mut command = self.program(Path::new(env!("CARGO_BIN_EXE_overside")));
        command.env("OVERSIDE_DATABASE", self.database.url()).env("OVERSIDE_STORAGE", self.store.url());
        command.env("OVERSIDE_LISTEN", "127.0.0.1:0");
        if let Store::S3 { endpoint, .. } = &self.store {
            command.env("OVERSIDE_S3_ENDPOINT", endpoint.as_str().trim_end_matches('/'));
            command.env("OVERSIDE_S3_PATH_STYLE", "true");
            let keys = self.store.keys();
            command.env("AWS_ACCESS_KEY_ID", keys.access_key).env("AWS_SECRET_ACCESS_KEY", keys.secret_key);
            command.env("AWS_REGION", REGION).env("AWS_EC2_METADATA_DISABLED", "true");
        }
        command
    }

    /// Any program, at home in the story's folder.
    pub fn program(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        // No proxy, profile, key or setting of the person who runs the tests.
        command.env_clear();
        command.env("PATH", env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("TMPDIR", self.folder.path());
        command.current_dir(self.folder.path());
        command
    }
}
