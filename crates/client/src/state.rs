//! What the client remembers of uploads under way: one small file each, so that the same command goes on after a
//! crash or a reboot, or on another machine that sees the folder.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use overside_protocol::digest::{Algorithm, Digest};
use overside_protocol::hash::Hasher;
use overside_protocol::name::RepositoryName;
use overside_protocol::upload::UploadId;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Error, Result};

/// No server keeps an upload for so long.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24 * 30);
/// Digits of a file's name: enough that no two uploads share one by chance.
const NAME_DIGITS: usize = 32;

/// A folder with a file for each upload that is under way.
#[derive(Debug, Clone)]
pub struct UploadStates {
    folder: PathBuf,
}

/// Where an upload can go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Begun {
    /// An upload session of an Overside server.
    Upload(UploadId),
    /// A registry's `Location`: it may hold what lets anybody go on, so the file is the user's alone.
    Location(Url),
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredState {
    server: Url,
    repository: String,
    digest: Digest,
    begun: Begun,
}

/// One upload's file.
#[derive(Debug, Clone)]
pub(super) struct UploadFile {
    path: PathBuf,
    server: Url,
    repository: RepositoryName,
    digest: Digest,
}

impl UploadStates {
    /// In this folder, which is made when something is to be remembered. What is old is removed.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        forget_old(&folder);
        Self { folder }
    }

    pub(super) fn of(&self, server: &Url, repository: &RepositoryName, digest: &Digest) -> UploadFile {
        let key = format!("{server}\n{repository}\n{digest}");
        UploadFile {
            path: key_file(&self.folder, &key),
            server: server.clone(),
            repository: repository.clone(),
            digest: *digest,
        }
    }
}

impl UploadFile {
    /// What was begun before. A file that cannot be read is as good as none: the upload begins anew.
    pub fn read(&self) -> Option<Begun> {
        let state: StoredState = serde_json::from_slice(&fs::read(&self.path).ok()?).ok()?;
        let is_ours = state.server == self.server
            && state.repository == self.repository.as_str()
            && state.digest == self.digest;
        is_ours.then_some(state.begun)
    }

    /// Remembers; a small file, written whole or not at all.
    pub fn write(&self, begun: &Begun) -> Result<()> {
        let state = StoredState {
            server: self.server.clone(),
            repository: self.repository.to_string(),
            digest: self.digest,
            begun: begun.clone(),
        };
        let written = serde_json::to_vec(&state).map_err(std::io::Error::other);
        written.and_then(|text| write_private(&self.path, &text)).map_err(Error::file("write", &self.path))
    }

    pub fn remove(&self) {
        // What stays is refused by the server, and removed then.
        let _ = fs::remove_file(&self.path);
    }
}

/// The file in which is kept what is known by this key.
pub(super) fn key_file(folder: &Path, key: &str) -> PathBuf {
    let name = Hasher::digest(Algorithm::Sha256, key.as_bytes()).hex();
    folder.join(format!("{}.json", &name[..NAME_DIGITS]))
}

/// Writes a file whole or not at all, for its owner's eyes, and makes its folder.
pub(super) fn write_private(path: &Path, text: &[u8]) -> std::io::Result<()> {
    private_folder(path.parent().unwrap_or(Path::new(".")))?;
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = private(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(unix)]
fn private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn private_folder(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(unix)]
fn private(path: &Path) -> std::io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private(path: &Path) -> std::io::Result<fs::File> {
    fs::File::create(path)
}

/// `<digits>.json`, or what was to become one.
fn is_state(name: &str) -> bool {
    let (digits, rest) = name.split_once('.').unwrap_or_default();
    let is_key = digits.len() == NAME_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_key && (rest == "json" || rest.split('.').next_back() == Some("tmp"))
}

pub(super) fn forget_old(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = age.and_then(|modified| modified.elapsed().ok());
        // Whoever names a folder of their own finds their other files in it untouched.
        let is_ours = entry.file_name().to_str().is_some_and(is_state);
        if is_ours && age.is_some_and(|age| age > FORGOTTEN_AFTER) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_ours_are_forgotten() {
        let ours = format!("{}.json", "0".repeat(NAME_DIGITS));
        assert!(is_state(&ours) && is_state(&ours.replace("json", "17.tmp")));
        for other in ["package.json", "a.tmp", ".json", "", &ours.replace('0', "x"), &format!("{ours}.bak")] {
            assert!(!is_state(other), "{other}");
        }
    }

    #[test]
    fn an_upload_is_found_again_by_server_repository_and_digest_alone() {
        let folder = tempfile::tempdir().unwrap();
        let states = UploadStates::at(folder.path().join("uploads"));
        let server: Url = "http://127.0.0.1:5000/".parse().unwrap();
        let name: RepositoryName = "team/app".parse().unwrap();
        let file = states.of(&server, &name, &Digest::EMPTY);
        assert_eq!(file.read(), None);
        let begun = Begun::Upload(UploadId::generate());
        file.write(&begun).unwrap();
        assert_eq!(states.of(&server, &name, &Digest::EMPTY).read(), Some(begun));
        assert_eq!(states.of(&server, &"team/other".parse().unwrap(), &Digest::EMPTY).read(), None);
        fs::write(&file.path, "{").unwrap();
        assert_eq!(file.read(), None);
        let location = Begun::Location("https://registry/v2/x?_state=secret".parse().unwrap());
        file.write(&location).unwrap();
        assert_eq!(file.read(), Some(location));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);
            let folder = file.path.parent().unwrap();
            assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        }
        file.remove();
        assert_eq!(file.read(), None);
    }
}
