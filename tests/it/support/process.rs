//! The real binary as a child process.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// From the start of the process to `/readyz`: migrations and the store's probe, on a machine that is busy.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// Between looks at a process or an address that something is awaited of.
const POLL: Duration = Duration::from_millis(20);
/// What the service prints on stdout before the address it has bound.
const ANNOUNCEMENT: &str = "listening on ";

/// A child that does not outlive the trial, however it ends.
#[derive(Debug)]
pub struct Process(Child);

/// What a process holds resident in bytes, apart from pages of its program's file: those are the kernel's to drop,
/// and an unoptimised build has as many of them as the code that ran has.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub now: u64,
    pub peak: u64,
}

/// `overside serve`, ready.
#[derive(Debug)]
pub struct Server {
    process: Process,
    base_url: String,
}

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_with(Stdio::null(), command)
    }

    pub fn spawn_with(input: impl Into<Stdio>, command: &mut Command) -> Self {
        Self(command.stdin(input).spawn().expect("the binary that cargo built starts"))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, or none when it is still running after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.0.try_wait().expect("the child is ours to wait for") {
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either fails only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts the service and waits until it is ready. Both its outputs go to `log`.
    pub async fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::create(log).expect("a log file");
        let stderr = file.try_clone().expect("a second handle of the log file");
        let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(stderr));
        let address = announced(&mut process, file);
        let announced = tokio::time::timeout(READY_LIMIT, address).await;
        let Ok(Ok(base_url)) = announced else {
            panic!("the service did not say where it listens within {READY_LIMIT:?}")
        };
        let mut server = Self { process, base_url };
        server.ready().await;
        server
    }

    /// Where it listens, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL: what a crash of the process is like.
    pub fn kill9(&mut self) {
        let _ = self.process.0.kill();
        let _ = self.process.0.wait();
    }

    /// SIGTERM, then how it ended; none when it is still running after `limit`.
    pub async fn terminate(&mut self, limit: Duration) -> Option<ExitStatus> {
        signal(self.pid(), "-TERM");
        self.process.wait(limit).await
    }

    pub fn memory(&self) -> Memory {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the service runs");
        let kibibytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("Linux counts memory");
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
        };
        // Should the kernel have dropped some of the file since the peak, the peak reads too high, never too low.
        let file = kibibytes("RssFile");
        let held = |field: &str| kibibytes(field).saturating_sub(file) << 10;
        Memory { now: held("VmRSS"), peak: held("VmHWM") }
    }

    async fn ready(&mut self) {
        let (client, url) = (super::http(), format!("{}/readyz", self.base_url));
        let deadline = Instant::now() + READY_LIMIT;
        while Instant::now() < deadline {
            if client.get(&url).send().await.is_ok_and(|response| response.status().is_success()) {
                return;
            }
            if let Some(status) = self.process.wait(POLL).await {
                panic!("the service ended before it was ready: {status}");
            }
        }
        panic!("the service was not ready within {READY_LIMIT:?}");
    }
}

/// Sends a signal, given as `kill` takes it, to a process of ours.
pub fn signal(pid: u32, name: &str) {
    Command::new("kill").arg(name).arg(pid.to_string()).status().expect("every Linux has kill");
}

/// Reads the service's stdout to its end, so that it never blocks on a full pipe, and sends the address on.
fn announced(process: &mut Process, mut log: File) -> oneshot::Receiver<String> {
    let (sender, receiver) = oneshot::channel();
    let stdout = process.0.stdout.take().expect("stdout is a pipe");
    std::thread::spawn(move || {
        let mut sender = Some(sender);
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = writeln!(log, "{line}");
            if let Some(url) = line.strip_prefix(ANNOUNCEMENT)
                && let Some(sender) = sender.take()
            {
                let _ = sender.send(url.trim().trim_end_matches('/').to_owned());
            }
        }
    });
    receiver
}
