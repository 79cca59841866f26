//! What the first commands of the README say: quickstart what to type next, prerequisites what is missing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};

use super::root;
use crate::support::Stack;
use crate::support::process::Process;
use crate::support::stack::CommandOutput;
use crate::support::trial::Story;

/// For its first push, on a machine that is busy.
const QUICKSTART_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);
/// What scripts here call without asking for it: every Debian has them.
const ALWAYS_THERE: [&str; 6] = ["bash", "dirname", "sed", "sort", "cat", "env"];

pub fn cases() -> Vec<Story> {
    vec![
        ("what_quickstart_says_can_be_pasted", quickstart),
        ("prerequisites_say_what_is_missing_or_too_old_and_what_to_do", |s| prerequisites(s).boxed()),
    ]
}

fn quickstart(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        // A folder whose name a shell would take apart, and which no PATH has.
        let folder = stack.folder().join("it's new");
        fs::create_dir(&folder).expect("a folder of our own");
        let program = folder.join("overside");
        fs::hard_link(env!("CARGO_BIN_EXE_overside"), &program)
            .or_else(|_| fs::copy(env!("CARGO_BIN_EXE_overside"), &program).map(drop))
            .expect("a program");
        let output = stack.folder().join("said");
        let mut command = stack.program(&program);
        command.args(["quickstart", "--port", "0"]).stdout(fs::File::create(&output).expect("a file"));
        let _running = Process::spawn(&mut command);

        let deadline = Instant::now() + QUICKSTART_LIMIT;
        let mut said = String::new();
        while !said.contains("Ctrl-C stops the server.") {
            assert!(Instant::now() < deadline, "quickstart says no end: {said}");
            tokio::time::sleep(POLL).await;
            said = fs::read_to_string(&output).expect("what it says");
        }
        assert!(said.contains(&format!("The program is {}\n", program.display())), "{said}");
        let commands: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        let mut shell = stack.program(Path::new("bash"));
        let done = stack.run(shell.args(["-euo", "pipefail", "-c", &commands.join("\n")])).await;
        assert_eq!(done.code, Some(0), "{said}{}", done.stderr);
        assert!(done.stdout.contains("hello.txt"), "{}", done.stdout);
        assert!(done.stdout.contains(r#"{"name":"quickstart/hello","tags":["v1"]}"#), "{}", done.stdout);
        let back = fs::read_to_string(stack.folder().join("hello/hello.txt")).expect("what came back");
        assert_eq!(back, "a first file\n");
    }
    .boxed()
}

async fn prerequisites(stack: Arc<Stack>) {
    let machine = Machine::new(&stack);
    let good =
        [("cargo", ""), ("rustc", "rustc 1.95.0 (59807616e 2026-04-14)"), ("python3", "3.11"), ("cc", "")];
    machine.has(&good);
    let done = machine.check().await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    for newer in ["rustc 1.110.0-nightly (0123abc 2027-01-01)", "rustc 2.0.0"] {
        machine.has(&[("rustc", newer)]);
        assert_eq!(machine.check().await.code, Some(0), "{newer}");
    }

    machine.has(&[("rustc", "rustc 1.63.0 (Debian)"), ("python3", "3.9")]);
    let done = machine.check().await;
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    for said in [
        "Rust is 1.63.0; 1.95 or newer is needed: install it by https://rustup.rs\n",
        "python3 is 3.9 (",
        "3.11 or newer is needed: run apt-get install python3 python3-venv",
    ] {
        assert!(done.stderr.contains(said), "all that is wrong is said at once: {}", done.stderr);
    }
    machine.has(&[("rustup", ""), ("python3", "3.12")]);
    let done = machine.check().await;
    assert!(done.stderr.contains("rustup toolchain install 1.95"), "{}", done.stderr);

    machine.has(&good);
    machine.lacks("cargo");
    let done = machine.check().await;
    assert!(done.stderr.starts_with("Rust is missing; 1.95 or newer is needed: "), "{}", done.stderr);
    machine.has(&good);
    machine.write("cc", "echo 'stdio.h: No such file or directory' >&2; exit 1");
    let done = machine.check().await;
    assert!(
        done.stderr.contains("apt-get install gcc libc6-dev. It said: stdio.h: No such"),
        "{}",
        done.stderr
    );
    assert_eq!(done.code, Some(1));

    // What Debian has is installed, or where nobody may do that, named.
    for (program, package) in [("cc", "gcc libc6-dev"), ("python3", "python3 python3-venv")] {
        machine.has(&good);
        machine.lacks(program);
        let done = machine.check().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
        let said =
            format!("this machine has no apt-get: please install by hand, then run this again: {package}\n");
        assert_eq!(done.stderr, said);
    }
}

/// One whose programs are no more than what they say of their version.
struct Machine<'a> {
    stack: &'a Stack,
}

impl<'a> Machine<'a> {
    fn new(stack: &'a Stack) -> Self {
        let machine = Self { stack };
        fs::create_dir(machine.programs()).expect("a folder of our own");
        let searched = std::env::var_os("PATH").unwrap_or_default();
        for name in ALWAYS_THERE {
            let real =
                std::env::split_paths(&searched).map(|path| path.join(name)).find(|path| path.is_file());
            symlink(real.expect(name), machine.programs().join(name)).expect("a link of our own");
        }
        machine
    }

    fn programs(&self) -> std::path::PathBuf {
        self.stack.folder().join("programs")
    }

    fn has(&self, programs: &[(&str, &str)]) {
        for (name, says) in programs {
            self.write(name, &format!("echo '{says}'"));
        }
    }

    fn lacks(&self, name: &str) {
        fs::remove_file(self.programs().join(name)).expect("a program of our own");
    }

    fn write(&self, name: &str, script: &str) {
        let path = self.programs().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file of our own");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a file of our own");
    }

    async fn check(&self) -> CommandOutput {
        let mut command = self.stack.program(&root().join("scripts/prerequisites"));
        self.stack.run(command.env("PATH", self.programs()).args(["cargo", "python3", "cc"])).await
    }
}
