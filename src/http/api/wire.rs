//! The JSON of this API: Harbor's names, and its numbers for roles. Fields of its clients that mean nothing here are
//! let pass.

use chrono::{DateTime, Utc};
use overside_protocol::wire::AuditLog;
use serde::{Deserialize, Serialize};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::auth::password::Password;
use crate::auth::secret::PersonalToken;
use crate::domain::access::Role;
use crate::domain::audit::StoredAuditEntry;
use crate::domain::project::{Member as ProjectMember, QuotaLimit};
use crate::domain::{account, ssh_key};
use crate::http::error::HttpError;
use crate::service;

#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names are Harbor's")]
pub(super) struct Project {
    project_id: i64,
    name: String,
    /// Who made it.
    owner_name: String,
    creation_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
    /// What whoever asks is in it: 1 for admin, 2 for developer, 3 for guest, 4 for maintainer.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_user_role_id: Option<i64>,
    metadata: Metadata,
    /// Repositories that have something.
    repo_count: u64,
    /// In bytes; -1 for no limit.
    storage_limit: i64,
    /// In tags; -1 for no limit.
    count_limit: i64,
}

/// Harbor's values are all text.
#[derive(Debug, Serialize, ToSchema)]
struct Metadata {
    /// `true` where everybody may pull.
    public: &'static str,
}

impl From<service::ProjectDescription> for Project {
    fn from(described: service::ProjectDescription) -> Self {
        let project = described.project;
        Self {
            project_id: project.id,
            name: project.name.to_string(),
            owner_name: project.owner_name,
            creation_time: project.created_at,
            update_time: project.updated_at,
            current_user_role_id: described.role.map(Role::id),
            metadata: Metadata { public: if project.is_public { "true" } else { "false" } },
            repo_count: described.repositories,
            storage_limit: project.storage_limit.get(),
            count_limit: project.count_limit.get(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ProjectRequest {
    /// Needed by a new project, which keeps it.
    pub project_name: Option<String>,
    /// Whether everybody may pull.
    pub public: Option<Flag>,
    pub metadata: Option<MetadataRequest>,
    /// In bytes; -1 for no limit.
    pub storage_limit: Option<i64>,
    /// In tags; -1 for no limit.
    pub count_limit: Option<i64>,
    /// Refused: there are no proxy caches.
    pub registry_id: Option<i64>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct MetadataRequest {
    /// Whether everybody may pull.
    pub public: Option<Flag>,
}

/// As JSON has it, or as Harbor's metadata do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "FlagText")]
pub(super) struct Flag(pub bool);

#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum FlagText {
    Flag(bool),
    Text(String),
}

impl PartialSchema for Flag {
    fn schema() -> RefOr<Schema> {
        FlagText::schema()
    }
}

impl ToSchema for Flag {}

impl TryFrom<FlagText> for Flag {
    type Error = &'static str;

    fn try_from(flag: FlagText) -> Result<Self, &'static str> {
        match flag {
            FlagText::Flag(flag) => Ok(Self(flag)),
            FlagText::Text(text) => {
                text.parse().map(Self).map_err(|_| "public is true or false, as it is or in quotes")
            }
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Member {
    /// Of the membership.
    id: i64,
    project_id: i64,
    /// The user's.
    entity_id: i64,
    /// The user's.
    entity_name: String,
    /// `u` for a user: there are no groups.
    entity_type: &'static str,
    /// 1 for admin, 2 for developer, 3 for guest, 4 for maintainer.
    role_id: i64,
    /// `projectAdmin`, `developer`, `guest`, `maintainer`
    role_name: &'static str,
}

impl From<ProjectMember> for Member {
    fn from(member: ProjectMember) -> Self {
        Self {
            id: member.id,
            project_id: member.project_id,
            entity_id: member.user_id,
            entity_name: member.user_name,
            entity_type: "u",
            role_id: member.role.id(),
            role_name: match member.role {
                Role::Admin => "projectAdmin",
                role => role.as_str(),
            },
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct MemberRequest {
    /// 1 for admin, 2 for developer, 3 for guest, 4 for maintainer.
    pub role_id: i64,
    /// Needed by a new member.
    pub member_user: Option<MemberUser>,
}

/// A user by name or by id.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct MemberUser {
    pub username: Option<String>,
    pub user_id: Option<i64>,
}

pub(super) fn role(id: i64) -> Result<Role, HttpError> {
    Role::ALL
        .into_iter()
        .find(|role| role.id() == id)
        .ok_or_else(|| HttpError::invalid("role_id is 1 (admin), 2 (developer), 3 (guest) or 4 (maintainer)"))
}

#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names are Harbor's")]
pub(super) struct User {
    user_id: i64,
    username: String,
    /// Whether an administrator.
    sysadmin_flag: bool,
    /// False for whoever signs in with tokens alone.
    has_password: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    oidc_issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oidc_subject: Option<String>,
    /// None where nobody has to sign in.
    #[schema(required)]
    creation_time: Option<DateTime<Utc>>,
}

impl User {
    /// Whoever asks where nobody has to sign in.
    pub const UNCHECKED: Self = Self {
        user_id: 0,
        username: String::new(),
        sysadmin_flag: true,
        has_password: false,
        oidc_issuer: None,
        oidc_subject: None,
        creation_time: None,
    };
}

impl From<account::User> for User {
    fn from(user: account::User) -> Self {
        let (oidc_issuer, oidc_subject) =
            user.identity.map(|identity| (identity.issuer, identity.subject)).unzip();
        Self {
            user_id: user.id,
            username: user.name,
            sysadmin_flag: user.is_admin,
            has_password: user.has_password,
            oidc_issuer,
            oidc_subject,
            creation_time: Some(user.created_at),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct UserRequest {
    pub username: String,
    /// 8 to 1024 bytes. Needed by a user without an identity elsewhere.
    #[schema(value_type = Option<String>, format = Password)]
    pub password: Option<Password>,
    /// Whether an administrator.
    #[serde(default)]
    pub sysadmin_flag: bool,
    /// With `oidc_subject`: who this is to an OIDC issuer.
    pub oidc_issuer: Option<String>,
    pub oidc_subject: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PasswordRequest {
    /// Needed by whoever changes their own.
    #[schema(value_type = Option<String>, format = Password)]
    pub old_password: Option<Password>,
    #[schema(value_type = String, format = Password)]
    pub new_password: Password,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct AdministratorRequest {
    pub sysadmin_flag: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccessToken {
    id: Uuid,
    /// What the user calls it.
    name: String,
    creation_time: DateTime<Utc>,
    /// Seconds since the epoch; -1 for never.
    expires_at: i64,
    /// Once, to whoever made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl AccessToken {
    pub fn shown_once(row: account::AccessToken, token: &PersonalToken) -> Self {
        Self { secret: Some(token.reveal()), ..row.into() }
    }
}

impl From<account::AccessToken> for AccessToken {
    fn from(token: account::AccessToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            creation_time: token.created_at,
            expires_at: seconds(token.expires_at),
            secret: None,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct TokenRequest {
    /// What the user calls it.
    pub name: String,
    /// In days; -1 for never.
    #[serde(default = "forever")]
    pub duration: i64,
}

/// A public key that a user signs in with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserKey {
    id: i64,
    /// `ssh-ed25519 AAAA…`
    key: String,
    /// `SHA256:…`, as `ssh-keygen -l` shows it.
    fingerprint: String,
    comment: String,
    creation_time: DateTime<Utc>,
}

impl From<ssh_key::UserKey> for UserKey {
    fn from(key: ssh_key::UserKey) -> Self {
        Self {
            id: key.id,
            key: key.key.to_string(),
            fingerprint: key.key.fingerprint(),
            comment: key.comment,
            creation_time: key.created_at,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct UserKeyRequest {
    /// The line of a `.pub` file: `ssh-ed25519 AAAA… comment`.
    pub key: String,
}

const fn forever() -> i64 {
    -1
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Quota {
    /// The project's.
    id: i64,
    /// The project.
    #[serde(rename = "ref")]
    reference: QuotaReference,
    creation_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
    /// The limits; -1 for none.
    hard: Amounts,
    used: Amounts,
    /// Held for uploads that are open.
    reserved: Reserved,
}

#[derive(Debug, Serialize, ToSchema)]
struct Reserved {
    /// In bytes.
    storage: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct QuotaReference {
    id: i64,
    name: String,
    owner_name: String,
}

/// Bytes and tags.
#[derive(Debug, Serialize, ToSchema)]
struct Amounts {
    /// In bytes.
    storage: i64,
    /// In tags.
    count: i64,
}

impl From<service::Quota> for Quota {
    fn from(quota: service::Quota) -> Self {
        let project = quota.project;
        Self {
            id: project.id,
            reference: QuotaReference {
                id: project.id,
                name: project.name.to_string(),
                owner_name: project.owner_name,
            },
            creation_time: project.created_at,
            update_time: project.updated_at,
            hard: Amounts { storage: project.storage_limit.get(), count: project.count_limit.get() },
            used: Amounts { storage: signed(quota.used.bytes), count: signed(quota.used.tags) },
            reserved: Reserved { storage: signed(quota.used.reserved) },
        }
    }
}

/// Amounts are bounded by what a store has long before this saturates.
fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct QuotaRequest {
    pub hard: AmountsRequest,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct AmountsRequest {
    /// In bytes; -1 for no limit.
    pub storage: Option<i64>,
    /// In tags; -1 for no limit.
    pub count: Option<i64>,
}

pub(super) fn limit(limit: Option<i64>) -> Result<Option<QuotaLimit>, HttpError> {
    let limit = limit.map(QuotaLimit::try_from).transpose();
    limit.map_err(|error| HttpError::invalid(error.to_string()))
}

/// Seconds since the epoch, as Harbor tells an expiry; -1 for never.
pub(super) fn seconds(expires_at: Option<DateTime<Utc>>) -> i64 {
    expires_at.map_or(-1, |expires_at| expires_at.timestamp())
}

impl From<StoredAuditEntry> for AuditLog {
    fn from(entry: StoredAuditEntry) -> Self {
        let StoredAuditEntry {
            id,
            happened_at,
            username,
            operation,
            resource_type,
            resource,
            client_address,
        } = entry;
        Self { id, username, resource, resource_type, operation, op_time: happened_at, client_address }
    }
}
