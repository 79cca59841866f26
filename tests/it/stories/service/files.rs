//! What the service keeps on its own disk: signing keys, password hashes, everybody's blobs.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use crate::support::api::{Repository, content, send};
use crate::support::process::Server;
use crate::support::trial::{Story, not_here};
use crate::support::{Stack, Store};

pub fn cases() -> Vec<Story> {
    vec![("what_the_service_keeps_is_its_users_alone_whatever_the_umask", private)]
}

fn private(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        if matches!(stack.store, Store::S3 { .. }) {
            not_here("it is about files");
        }
        for umask in ["000", "022"] {
            let root = stack.folder().join(umask);
            let _server = work(&stack, umask, &root).await;
            let found = all_below(&root);
            let named = |end: &str| found.iter().any(|path| path.to_string_lossy().ends_with(end));
            for end in ["o.db", "o.db-wal", "o.db-shm", ".blobs.lock", "/lock", "/data", "/parts/1"] {
                assert!(named(end), "{end} is not among {found:?}");
            }
            let open: Vec<_> = found.iter().filter(|path| mode(path) & 0o077 != 0).collect();
            assert!(open.is_empty(), "umask {umask}: {open:?}");
        }
        // One that was made by an older version is closed.
        let root = stack.folder().join("022");
        let database = root.join("data/o.db");
        std::fs::set_permissions(&database, PermissionsExt::from_mode(0o644)).expect("its mode");
        let _server = work(&stack, "022", &root).await;
        assert_eq!(mode(&database) & 0o777, 0o600);
    }
    .boxed()
}

/// A service with this umask that keeps what it has below `root`, and has one of everything to keep.
async fn work(stack: &Stack, umask: &str, root: &Path) -> Server {
    let binary = stack.binary();
    let mut shell = Command::new("/bin/sh");
    shell.env_clear().envs(binary.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("OVERSIDE_DATABASE", format!("sqlite://{}/data/o.db", root.display()));
    shell.env("OVERSIDE_STORAGE", format!("file://{}/data/store", root.display()));
    shell
        .current_dir(stack.folder())
        .arg("-c")
        .arg(format!("umask {umask}; exec \"$0\" serve --part-size 5MiB"));
    let server = Server::start(shell.arg(binary.get_program()), &stack.folder().join("files.log")).await;
    let repository = Repository::of(server.base_url(), "team/app");
    repository.push(b"published").await;
    repository.begin().await.patch(None, "half of it").await.expect(202);
    let [put, parts] = [repository.begin().await, repository.begin().await];
    put.put(&content(1_000)).await;
    let signed = parts.sign(&[("size", "10000000"), ("mode", "multipart")]).await.expect(200).json();
    send(&parts.http, &signed["parts"][0], content(5 << 20)).await.expect(200);
    server
}

fn all_below(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).expect("it is there").mode()
}
