//! The audit log: who did what to what, when, from where. Names and digests, never a query, a secret or a token.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use super::access::{Authority, Caller, ProjectName};
use super::words::words;

/// Longest text of an entry, in characters: a repository's name with a digest of SHA-512 has fewer.
const MAX_TEXT: usize = 512;
/// Who changes things by a command beside the database; no user can be called so.
pub const COMMAND_LINE: &str = "(command line)";

words! {
    /// What was done.
    Operation {
        Pull: "pull",
        Push: "push",
        Mount: "mount",
        Create: "create",
        Update: "update",
        Delete: "delete",
        /// A sign-in that failed; others show in what was done.
        Login: "login",
    }
}

words! {
    /// What it was done to.
    ResourceType {
        /// A manifest, as `repository:tag` or `repository@digest`.
        Artifact: "artifact",
        /// `repository:tag`
        Tag: "tag",
        /// `repository@digest`
        Blob: "blob",
        /// `repository:path`; of a directory all that was below it.
        File: "file",
        /// `repository:path`: somebody else's, ended by force.
        Lock: "lock",
        /// A repository of the Hugging Face Hub, and one of its commits as `repository@commit`.
        Repository: "repository",
        Commit: "commit",
        Project: "project",
        Member: "member",
        Robot: "robot",
        User: "user",
        AccessToken: "access_token",
        /// By its fingerprint or its id.
        UserKey: "user_key",
        /// By its name.
        Webhook: "webhook",
        Quota: "quota",
        Configuration: "configuration",
    }
}

/// What was done to what, before it is known by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedAction {
    pub operation: Operation,
    pub resource_type: ResourceType,
    pub resource: String,
    /// None for what is in no project.
    pub project: Option<ProjectName>,
}

/// An entry of the log, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    pub happened_at: DateTime<Utc>,
    /// Empty for whoever did not sign in, or where nobody has to; [`COMMAND_LINE`] for commands.
    pub username: String,
    pub action: AuditedAction,
    pub address: Option<IpAddr>,
}

/// An entry as it is read: what was written stays readable, whatever later versions call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAuditEntry {
    pub id: i64,
    pub happened_at: DateTime<Utc>,
    pub username: String,
    pub operation: String,
    pub resource_type: String,
    pub resource: String,
    pub client_address: Option<String>,
}

impl AuditEntry {
    #[must_use]
    pub fn new(
        username: &str,
        address: Option<IpAddr>,
        action: AuditedAction,
        happened_at: DateTime<Utc>,
    ) -> Self {
        let action = AuditedAction { resource: shortened(&action.resource), ..action };
        Self { happened_at, username: shortened(username), action, address }
    }

    #[must_use]
    pub fn by(caller: &Caller, action: AuditedAction, happened_at: DateTime<Utc>) -> Self {
        let name = match (&caller.authority, caller.address) {
            // Whoever asks a server has an address.
            (Authority::Unchecked, None) => COMMAND_LINE,
            _ => caller.name().unwrap_or_default(),
        };
        Self::new(name, caller.address, action, happened_at)
    }
}

/// PostgreSQL takes no text with a NUL, and nothing that was done may stay out of the log for its name.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(MAX_TEXT).collect()
}
