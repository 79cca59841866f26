//! The JSON of the Hub (`huggingface_hub` 2.4, `hf_api.py`, `_commit_api.py`).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::hub::git::{Commit, TreeEntry, pointer};
use crate::domain::hub::{Ref, RefKind};

/// An error. Clients show the header `X-Error-Message`, which has the same text.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct HubError {
    pub error: String,
}

/// `POST /api/repos/create` and `DELETE /api/repos/delete`. Whether it is public is the project's to say.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = HubRepositoryRequest)]
pub(super) struct RepositoryRequest {
    /// With the namespace, or without.
    pub name: String,
    /// The namespace: a project. Without one it is the project that is called like the caller.
    #[serde(default)]
    pub organization: Option<String>,
    /// `model` where it is left out.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubRepositoryCreated)]
pub(super) struct Created {
    pub url: String,
    pub name: String,
    pub id: String,
    /// Where there was one already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubCardCheck)]
pub(super) struct CardCheck {
    /// Nothing is checked here.
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubUser)]
#[serde(rename_all = "camelCase")]
pub(super) struct WhoAmI {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: String,
    pub name: String,
    pub fullname: String,
    pub is_pro: bool,
    pub orgs: Vec<String>,
    pub auth: Auth,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubAuth)]
#[serde(rename_all = "camelCase")]
pub(super) struct Auth {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub access_token: AccessToken,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubAccessToken)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccessToken {
    pub display_name: String,
    /// What it may do is said by the roles of its user.
    pub role: &'static str,
}

/// A repository in a list, and the beginning of what is told of one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubRepositorySummary)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub id: String,
    pub author: String,
    pub private: bool,
    pub gated: bool,
    pub disabled: bool,
    pub downloads: u64,
    pub likes: u64,
    pub tags: Vec<String>,
    pub created_at: DateTime<Utc>,
}

/// As it is written; see [`super::read`].
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubRepositoryInfo)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info {
    #[serde(flatten)]
    pub summary: Summary,
    /// The commit.
    pub sha: String,
    pub last_modified: DateTime<Utc>,
    /// All files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub siblings: Vec<Sibling>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubSibling)]
pub(super) struct Sibling {
    pub rfilename: String,
}

/// What a path names.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubTreeEntry)]
pub(super) struct Entry {
    /// `file` or `directory`
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub path: String,
    /// Of Git.
    pub oid: String,
    /// In bytes; 0 of a directory.
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lfs: Option<LfsInfo>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubLfsInfo)]
#[serde(rename_all = "camelCase")]
pub(super) struct LfsInfo {
    /// SHA-256
    pub oid: String,
    pub size: u64,
    pub pointer_size: usize,
}

impl Entry {
    pub fn new(path: String, entry: &TreeEntry) -> Self {
        match entry {
            TreeEntry::Directory(oid) => {
                Self { kind: "directory", path, oid: oid.to_string(), size: 0, lfs: None }
            }
            TreeEntry::File(file) => {
                let lfs = file.is_lfs.then(|| LfsInfo {
                    oid: file.digest.hex(),
                    size: file.size,
                    pointer_size: pointer(&file.digest, file.size).len(),
                });
                Self { kind: "file", path, oid: file.oid.to_string(), size: file.size, lfs }
            }
        }
    }
}

/// `POST …/paths-info/{revision}`, as JSON or as a form.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = HubPathsRequest)]
pub(super) struct PathsRequest {
    pub paths: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubRefs)]
pub(super) struct Refs {
    pub branches: Vec<RefInfo>,
    pub tags: Vec<RefInfo>,
    pub converts: Vec<RefInfo>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubRef)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefInfo {
    pub name: String,
    #[serde(rename = "ref")]
    pub full_name: String,
    pub target_commit: String,
}

impl From<Vec<Ref>> for Refs {
    fn from(refs: Vec<Ref>) -> Self {
        let info = |Ref { kind, name, commit }: Ref| RefInfo {
            full_name: format!("{kind}{name}"),
            name,
            target_commit: commit.to_string(),
        };
        let (branches, tags): (Vec<_>, Vec<_>) =
            refs.into_iter().partition(|found| found.kind == RefKind::Branch);
        Self {
            branches: branches.into_iter().map(info).collect(),
            tags: tags.into_iter().map(info).collect(),
            converts: Vec::new(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubCommitInfo)]
pub(super) struct CommitInfo {
    pub id: String,
    pub title: String,
    pub message: String,
    pub authors: Vec<Author>,
    pub date: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubAuthor)]
pub(super) struct Author {
    pub user: String,
}

impl From<Commit> for CommitInfo {
    fn from(commit: Commit) -> Self {
        Self {
            id: commit.oid.to_string(),
            title: commit.title().to_owned(),
            message: commit.description().to_owned(),
            authors: vec![Author { user: commit.author }],
            date: commit.at,
        }
    }
}

/// `POST …/preupload/{revision}`
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = HubPreuploadRequest)]
pub(super) struct PreuploadRequest {
    pub files: Vec<OfferedFile>,
}

/// Clients send its first bytes too, which are not looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = HubOfferedFile)]
pub(super) struct OfferedFile {
    pub path: String,
    pub size: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubPreupload)]
pub(super) struct Preupload {
    pub files: Vec<AnsweredFile>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubAnsweredFile)]
#[serde(rename_all = "camelCase")]
pub(super) struct AnsweredFile {
    pub path: String,
    /// `lfs`, or `regular`: with the commit.
    pub upload_mode: &'static str,
    pub should_ignore: bool,
    /// What the path names now: a Git object, or the SHA-256 of a file of Git LFS.
    #[schema(required = true)]
    pub oid: Option<String>,
}

/// A line of `POST …/commit/{revision}`. The first one is the header.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = HubCommitLine)]
#[serde(tag = "key", content = "value", rename_all = "camelCase")]
pub(super) enum Line {
    Header(Header),
    File(RegularFile),
    LfsFile(LfsFile),
    DeletedFile(Deleted),
    DeletedFolder(Deleted),
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = HubCommitHeader)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    #[serde(default)]
    pub summary: String,
    #[serde(default)]
    pub description: Option<String>,
    /// The commit that the branch has to point to.
    #[serde(default)]
    pub parent_commit: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = HubRegularFile)]
pub(super) struct RegularFile {
    pub path: String,
    pub content: String,
    /// `base64`, or `utf-8` where it is left out.
    #[serde(default)]
    pub encoding: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = HubLfsFile)]
pub(super) struct LfsFile {
    pub path: String,
    /// `sha256`, which is all there is.
    #[serde(default)]
    pub algo: Option<String>,
    pub oid: String,
    #[serde(default)]
    pub size: Option<u64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = HubDeletedPath)]
pub(super) struct Deleted {
    pub path: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubCommitted)]
#[serde(rename_all = "camelCase")]
pub(super) struct Committed {
    pub success: bool,
    pub commit_oid: String,
    pub commit_url: String,
    pub hook_output: &'static str,
}

/// `POST …/branch/{branch}`
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = HubBranchRequest)]
#[serde(rename_all = "camelCase")]
pub(super) struct BranchRequest {
    /// A branch, a tag or a commit; `main` where it is left out.
    #[serde(default)]
    pub starting_point: Option<String>,
}

/// `POST …/tag/{revision}`
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = HubTagRequest)]
pub(super) struct TagRequest {
    pub tag: String,
}
