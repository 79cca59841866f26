//! Uploads under way, saved in one small file each, so that the next run resumes them after a crash or a reboot, or on
//! another machine that sees the folder.

use std::fs;
use std::path::PathBuf;

use overside_protocol::digest::Digest;
use overside_protocol::name::RepositoryName;
use overside_protocol::upload::UploadId;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::files::source::blocking;
use crate::files::state_file::{path_of, remove_old, write_private};
use crate::{Error, Result};

/// A folder with a small file for each upload that is under way.
#[derive(Debug, Clone)]
pub struct SavedUploads {
    folder: PathBuf,
}

/// Where an upload can be resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResumePoint {
    /// An upload session of an Overside server.
    #[serde(rename = "upload")]
    Session(UploadId),
    /// A registry's `Location`: it may hold what lets anybody go on, so the file is the user's alone.
    Location(Url),
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredState {
    server: Url,
    repository: String,
    digest: Digest,
    #[serde(rename = "begun")]
    resume_point: ResumePoint,
}

/// The file of one upload.
#[derive(Debug, Clone)]
pub(crate) struct UploadFile {
    path: PathBuf,
    server: Url,
    repository: RepositoryName,
    digest: Digest,
}

impl SavedUploads {
    /// Saves uploads in this folder, which is created with the first. Files that are a month old are removed.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        remove_old(&folder);
        Self { folder }
    }

    pub(crate) fn file(&self, server: &Url, repository: &RepositoryName, digest: &Digest) -> UploadFile {
        let key = format!("{server}\n{repository}\n{digest}");
        UploadFile {
            path: path_of(&self.folder, &key),
            server: server.clone(),
            repository: repository.clone(),
            digest: *digest,
        }
    }
}

impl UploadFile {
    /// Where the upload can be resumed. A file that cannot be read counts as none: the upload begins anew.
    pub fn read(&self) -> Option<ResumePoint> {
        let state: StoredState = serde_json::from_slice(&fs::read(&self.path).ok()?).ok()?;
        let is_ours = state.server == self.server
            && state.repository == self.repository.as_str()
            && state.digest == self.digest;
        is_ours.then_some(state.resume_point)
    }

    /// Saves where the upload can be resumed. The file is written whole or not at all.
    pub async fn write(&self, resume_point: &ResumePoint) -> Result<()> {
        let state = StoredState {
            server: self.server.clone(),
            repository: self.repository.to_string(),
            digest: self.digest,
            resume_point: resume_point.clone(),
        };
        let path = self.path.clone();
        let writing = blocking("write", &self.path, move || {
            let text = serde_json::to_vec(&state).map_err(std::io::Error::other);
            text.and_then(|text| write_private(&path, &text)).map_err(Error::file("write", &path))
        });
        writing.await
    }

    pub fn remove(&self) {
        // A file that stays leads to an upload that the server does not know, and is removed then.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_upload_is_found_again_by_server_repository_and_digest_alone() {
        let folder = tempfile::tempdir().unwrap();
        let states = SavedUploads::at(folder.path().join("uploads"));
        let server: Url = "http://127.0.0.1:5000/".parse().unwrap();
        let name: RepositoryName = "team/app".parse().unwrap();
        let file = states.file(&server, &name, &Digest::EMPTY);
        assert_eq!(file.read(), None);
        let session = ResumePoint::Session(UploadId::generate());
        file.write(&session).await.unwrap();
        assert_eq!(states.file(&server, &name, &Digest::EMPTY).read(), Some(session));
        assert_eq!(states.file(&server, &"team/other".parse().unwrap(), &Digest::EMPTY).read(), None);
        fs::write(&file.path, "{").unwrap();
        assert_eq!(file.read(), None);
        let location = ResumePoint::Location("https://registry/v2/x?_state=secret".parse().unwrap());
        file.write(&location).await.unwrap();
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
