//! The dxf package for Python: a registry as a store of blobs, and names for them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::{Client, Machine, NAME, assert_stored, host, server};
use crate::support::Stack;
use crate::support::api::{content, digest_of};
use crate::support::process::Server;
use crate::support::trial::Story;

/// Of blobs, in bytes.
const LARGE: usize = 9_000_000;
const SMALL: usize = 70_000;
/// Asks for names page by page, as the command does not.
const PAGED: &str = "
import dxf, sys
repository = dxf.DXF(sys.argv[1], sys.argv[2], insecure=True)
for alias in repository.list_aliases(batch_size=2):
    print(alias)
";

pub fn cases() -> Vec<Story> {
    vec![
        ("dxf_pushes_pulls_mounts_and_deletes_blobs", blobs),
        ("dxf_names_blobs_lists_the_names_and_takes_them_back", aliases),
    ]
}

/// dxf on one machine, and the registry that it speaks to.
struct Dxf {
    machine: Machine,
    host: String,
}

impl Dxf {
    fn new(stack: &Arc<Stack>, server: &Server) -> Self {
        Self {
            machine: Machine::new(stack, Client::Python, "ours"),
            host: host(server.base_url()).to_owned(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.command();
        command.env("DXF_HOST", &self.host).env("DXF_INSECURE", "1").args(["-m", "dxf"]).args(arguments);
        command
    }

    /// What it prints, without the end of the last line.
    async fn run(&self, arguments: &[&str]) -> String {
        self.machine.done(&mut self.command(arguments)).await.trim_end().to_owned()
    }

    /// Fails as the command does where the registry answers 404.
    async fn assert_not_found(&self, arguments: &[&str]) {
        let refused = self.machine.refused(&mut self.command(arguments)).await;
        assert!(refused.contains("404"), "{refused}");
    }

    /// Writes a file of this content; says its path.
    fn file(&self, content: &[u8]) -> String {
        let path: PathBuf = self.machine.home.join(format!("{}.bin", content.len()));
        fs::write(&path, content).expect("a file of our own");
        path.display().to_string()
    }

    /// The bytes that `pull-blob` prints.
    async fn pull(&self, repository: &str, blob: &str) -> Vec<u8> {
        let back = self.machine.home.join("back");
        let mut shell = self.machine.stack.program("/bin/sh".as_ref());
        let python = self.command(&["pull-blob", repository, blob]);
        shell.env("DXF_HOST", &self.host).env("DXF_INSECURE", "1");
        shell.args(["-c", "exec \"$@\" > back", "sh"]).arg(python.get_program()).args(python.get_args());
        shell.current_dir(&self.machine.home);
        self.machine.done(&mut shell).await;
        fs::read(back).expect("what was printed")
    }
}

fn blobs(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = server(&stack).await;
        let dxf = Dxf::new(&stack, &server);
        for size in [LARGE, SMALL] {
            let bytes = content(size);
            let digest = digest_of(&bytes).to_string();
            let pushed = dxf.run(&["push-blob", NAME, &dxf.file(&bytes)]).await;
            assert_eq!(pushed, digest);
            assert_eq!(dxf.run(&["blob-size", NAME, &digest]).await, size.to_string());
            assert!(dxf.pull(NAME, &digest).await == bytes);
            assert_eq!(dxf.run(&["mount-blob", "other/model", NAME, &digest]).await, digest);

            dxf.run(&["del-blob", NAME, &digest]).await;
            dxf.assert_not_found(&["pull-blob", NAME, &digest]).await;
            dxf.assert_not_found(&["del-blob", NAME, &digest]).await;
            assert!(dxf.pull("other/model", &digest).await == bytes, "it is another repository's too");
        }
        assert_stored(&stack, 2).await;
    }
    .boxed()
}

fn aliases(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = server(&stack).await;
        let dxf = Dxf::new(&stack, &server);
        let [large, small] = [content(LARGE), content(SMALL)];
        let [large_digest, small_digest] = [&large, &small].map(|bytes| digest_of(bytes).to_string());
        dxf.run(&["push-blob", NAME, &dxf.file(&large), "@large"]).await;
        dxf.run(&["push-blob", NAME, &dxf.file(&small), "@small"]).await;
        dxf.run(&["set-alias", NAME, "both", &large_digest, &small_digest]).await;
        dxf.run(&["push-blob", "another/model", &dxf.file(&small), "@latest"]).await;

        assert_eq!(dxf.run(&["get-alias", NAME, "both"]).await, format!("{large_digest}\n{small_digest}"));
        assert!(dxf.pull(NAME, "@both").await == [large, small].concat());
        assert_eq!(dxf.run(&["list-aliases", NAME]).await, "both\nlarge\nsmall");
        let mut paged = dxf.machine.command();
        let paged = dxf.machine.done(paged.args(["-c", PAGED, &dxf.host, NAME])).await;
        assert_eq!(paged.trim_end(), "both\nlarge\nsmall");
        assert_eq!(dxf.run(&["list-repos"]).await, format!("another/model\n{NAME}"));

        // What a name still needs is not deleted from under it.
        let refused = dxf.machine.refused(&mut dxf.command(&["del-blob", NAME, &small_digest])).await;
        assert!(refused.contains("405"), "{refused}");
        assert_eq!(dxf.run(&["del-alias", NAME, "small"]).await, small_digest);
        dxf.run(&["del-alias", NAME, "both"]).await;
        assert_eq!(dxf.run(&["list-aliases", NAME]).await, "large");
        dxf.assert_not_found(&["get-alias", NAME, "both"]).await;
        dxf.run(&["del-blob", NAME, &small_digest]).await;
        dxf.assert_not_found(&["pull-blob", NAME, &small_digest]).await;
        assert_stored(&stack, 2).await;
    }
    .boxed()
}
