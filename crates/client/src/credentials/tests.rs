#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]

mod helpers;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// A person's files, and a folder of programs that comes before the others.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(home.programs()).unwrap();
        home
    }

    fn with_docker(content: &Value) -> Self {
        Self::with_docker_text(&content.to_string())
    }

    fn with_docker_text(text: &str) -> Self {
        let home = Self::new();
        std::fs::create_dir(home.docker().parent().unwrap()).unwrap();
        std::fs::write(home.docker(), text).unwrap();
        home
    }

    fn with_podman(self, content: &Value) -> Self {
        std::fs::write(self.podman(), content.to_string()).unwrap();
        self
    }

    /// Installs the fake helper under this name.
    fn with_helper(self, name: &str) -> Self {
        // A link: a program written here and run at once may be "busy", open for writing in another test's child.
        let fake = concat!(env!("CARGO_MANIFEST_DIR"), "/src/credentials/tests/docker-credential-fake");
        symlink(fake, self.programs().join(format!("docker-credential-{name}"))).unwrap();
        self
    }

    fn docker(&self) -> PathBuf {
        self.folder.path().join("docker").join("config.json")
    }

    fn podman(&self) -> PathBuf {
        self.folder.path().join("auth.json")
    }

    fn programs(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    fn load(&self) -> Result<Credentials> {
        let others = env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.programs()).chain(env::split_paths(&others));
        Credentials::read(Some(self.docker()), &[self.podman()], Some(env::join_paths(folders).unwrap()))
    }

    async fn find(&self, registry: &str, repository: Option<&str>) -> Option<Credential> {
        self.load().unwrap().find(registry, repository).await.unwrap()
    }

    fn docker_json(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.docker()).unwrap()).unwrap()
    }
}

fn basic(username: &str, password: &str) -> Credential {
    Credential::Basic { username: username.to_owned(), password: password.to_owned() }
}

/// `{"auth": …}` with alice's name and this password.
fn auth(password: &str) -> Value {
    entry::to_json(&basic("alice", password))
}

#[tokio::test]
async fn who_has_never_signed_in_has_no_credentials() {
    let home = Home::new();
    assert_eq!(home.find("ghcr.io", None).await, None);
    assert!(!home.load().unwrap().erase("ghcr.io").await.unwrap());
    assert!(!home.docker().exists());
    for empty in ["", "\n", "{}", r#"{"auths": null}"#, r#"{"auths": {"ghcr.io": {}}}"#] {
        assert_eq!(Home::with_docker_text(empty).find("ghcr.io", None).await, None, "{empty}");
    }
}

#[tokio::test]
async fn what_docker_wrote_is_found_under_every_spelling() {
    let home = Home::with_docker(&json!({ "auths": {
        "ghcr.io": auth("one"),
        "https://old.example/v1/": auth("two"),
        "http://older.example:5000": auth("three"),
        "https://index.docker.io/v1/": auth("hub"),
        "127.0.0.1:5000": { "auth": "YWxpY2U6c2U6Y3JldA==" },
        "acr.example": { "auth": "OjpvaG5l", "identitytoken": "token" },
        "written.example": { "username": "alice", "password": "four" },
    }}));
    for (registry, password) in [
        ("ghcr.io", "one"),
        ("GHCR.io", "one"),
        ("old.example", "two"),
        ("older.example:5000", "three"),
        ("docker.io", "hub"),
        ("index.docker.io", "hub"),
        ("registry-1.docker.io", "hub"),
        ("127.0.0.1:5000", "se:cret"),
        ("written.example", "four"),
    ] {
        assert_eq!(home.find(registry, Some("team/app")).await, Some(basic("alice", password)), "{registry}");
    }
    assert_eq!(home.find("acr.example", None).await, Some(Credential::IdentityToken("token".into())));
    for registry in ["ghcr.io:443", "127.0.0.1", "hcr.io", "example", ""] {
        assert_eq!(home.find(registry, None).await, None, "{registry}");
    }
}

#[tokio::test]
async fn podman_is_asked_after_docker_and_the_closest_namespace_is_taken() {
    let home = Home::with_docker(&json!({ "auths": { "ghcr.io": auth("docker") } })).with_podman(&json!({
        "auths": {
            "ghcr.io": auth("podman"),
            "quay.io": auth("all"),
            "quay.io/team": auth("team"),
            "quay.io/team/app": auth("app"),
            "docker.io/library": auth("library"),
        }
    }));
    assert_eq!(home.find("ghcr.io", Some("a/b")).await, Some(basic("alice", "docker")));
    for (registry, repository, password) in [
        ("quay.io", None, "all"),
        ("quay.io", Some("teams/app"), "all"),
        ("quay.io", Some("team/apps"), "team"),
        ("quay.io", Some("team/app"), "app"),
        ("quay.io", Some("team/app/part"), "app"),
        ("docker.io", Some("library/alpine"), "library"),
    ] {
        assert_eq!(home.find(registry, repository).await, Some(basic("alice", password)), "{repository:?}");
    }
    assert_eq!(home.find("docker.io", Some("team/app")).await, None);
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_not_quoted() {
    let home = Home::with_docker_text(r#"{"auths": {"ghcr.io": "hunter2"}}"#);
    let error = home.load().unwrap_err().to_string();
    assert!(error.contains(&home.docker().display().to_string()) && error.contains("line 1"), "{error}");
    assert!(!error.contains("hunter2"));
    let home =
        Home::with_docker(&json!({ "auths": { "ghcr.io": { "auth": "hunter2" }, "quay.io": auth("x") } }));
    let credentials = home.load().unwrap();
    let error = credentials.find("ghcr.io", None).await.unwrap_err().to_string();
    assert!(error.contains("ghcr.io") && !error.contains("hunter2"), "{error}");
    assert_eq!(home.find("quay.io", None).await, Some(basic("alice", "x")));
    assert!(!format!("{credentials:?} {:?}", basic("alice", "hunter2")).contains("hunter2"));
}

#[tokio::test]
async fn storing_changes_one_entry_and_leaves_the_rest_alone() {
    let before = json!({
        "auths": { "ghcr.io": auth("old"), "quay.io": auth("kept") },
        "HttpHeaders": { "User-Agent": "mine" },
        "plugins": { "big": 18_446_744_073_709_551_615_u64 },
    });
    let home = Home::with_docker(&before);
    std::fs::set_permissions(home.docker(), PermissionsExt::from_mode(0o644)).unwrap();
    let credentials = home.load().unwrap();
    credentials.store("ghcr.io", &basic("alice", "new")).await.unwrap();
    credentials.store("docker.io", &basic("alice", "hub")).await.unwrap();
    let mut expected = before;
    expected["auths"]["ghcr.io"] = auth("new");
    expected["auths"]["https://index.docker.io/v1/"] = auth("hub");
    assert_eq!(home.docker_json(), expected);
    assert_eq!(home.docker().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let folder = home.docker().parent().unwrap().read_dir().unwrap();
    assert_eq!(folder.count(), 1, "nothing lies beside it");
    assert!(matches!(
        credentials.store("ghcr.io", &basic("a:b", "c")).await,
        Err(CredentialsError::UserName)
    ));
}

#[tokio::test]
async fn a_first_sign_in_makes_the_file_for_its_user_alone() {
    let home = Home::new();
    home.load().unwrap().store("ghcr.io", &Credential::IdentityToken("token".into())).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&home.docker()), mode(home.docker().parent().unwrap())), (0o600, 0o700));
    assert_eq!(home.find("ghcr.io", None).await, Some(Credential::IdentityToken("token".into())));
}

#[tokio::test]
async fn a_file_that_is_a_link_stays_one() {
    let home = Home::with_docker(&json!({}));
    let real = home.folder.path().join("dotfiles.json");
    std::fs::rename(home.docker(), &real).unwrap();
    symlink(&real, home.docker()).unwrap();
    home.load().unwrap().store("ghcr.io", &basic("alice", "new")).await.unwrap();
    assert!(home.docker().symlink_metadata().unwrap().is_symlink());
    assert_eq!(home.find("ghcr.io", None).await, Some(basic("alice", "new")));
}

#[tokio::test]
async fn erasing_takes_every_spelling_and_no_namespace() {
    let home = Home::with_docker(&json!({ "auths": {
        "ghcr.io": auth("one"), "https://ghcr.io/v1/": auth("two"), "ghcr.io/team": auth("team"), "quay.io": auth("q"),
    }}));
    assert!(home.load().unwrap().erase("ghcr.io").await.unwrap());
    let expected = json!({ "auths": { "ghcr.io/team": auth("team"), "quay.io": auth("q") } });
    assert_eq!(home.docker_json(), expected);
    assert!(!home.load().unwrap().erase("ghcr.io").await.unwrap());
}
