//! skopeo as the witness: it shares no code with our client.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::support::servers::Servers;
use crate::support::{CommandLine, Stack};

const PLAIN_HTTP: [&str; 2] = ["--src-tls-verify=false", "--dest-tls-verify=false"];

/// Copies as skopeo writes names, on this machine, exactly and with everything below an index.
pub async fn copy(stack: &Arc<Stack>, ours: &CommandLine, flags: &[&str], from: &str, to: &str) {
    let exactly = [&["copy", "--all"], &PLAIN_HTTP[..], flags, &[from, to]].concat();
    let done = stack.run(command(stack, ours).args(exactly)).await;
    assert_eq!(done.code, Some(0), "{from} to {to}: {}{}", done.stdout, done.stderr);
}

fn command(stack: &Stack, ours: &CommandLine) -> Command {
    let program = Servers::from_environment().skopeo;
    let program = program.expect("a trial without it is only run when somebody asks for it");
    let mut command = stack.program(&program);
    // What it remembers stays on this machine, and so does who is signed in.
    command.env("_CONTAINERS_ROOTLESS_UID", "1").env("REGISTRY_AUTH_FILE", ours.path("skopeo.json"));
    command.current_dir(ours.path("")).arg("--insecure-policy").arg("--tmpdir").arg(ours.path(""));
    command
}

/// `oci:FOLDER:v1`
pub fn layout(folder: &Path) -> String {
    format!("oci:{}:v1", folder.display())
}
