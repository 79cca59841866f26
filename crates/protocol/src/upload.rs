//! How an upload session is named, and the words for where it stands and how its bytes come.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names an upload session: UUID version 7, so that rows and keys sort by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UploadId(Uuid);

impl UploadId {
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    #[must_use]
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for UploadId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        let id = Self(Uuid::try_parse(text)?);
        // One spelling per session: the text becomes part of paths that are compared.
        if id.to_string() == text { Ok(id) } else { Uuid::try_parse("").map(Self) }
    }
}

/// A text that is no failure, transfer mode or status.
#[derive(Debug, thiserror::Error)]
#[error("not a known value")]
pub struct UnknownValue;

/// A state's name, as stored and as shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Pending,
    Uploading,
    Finalizing,
    Completed,
    Failed,
    Aborted,
    Expired,
}

impl Status {
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Uploading,
        Self::Finalizing,
        Self::Completed,
        Self::Failed,
        Self::Aborted,
        Self::Expired,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Uploading => "uploading",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Expired => "expired",
        }
    }

    /// Nothing leads out of these.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Aborted | Self::Expired)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownValue)
    }
}

/// A transfer's name, as stored and as shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum TransferMode {
    Put,
    Multipart,
    Proxied,
    /// One PUT to the store that a stock client was redirected to.
    Redirected,
}

impl TransferMode {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Multipart => "multipart",
            Self::Proxied => "proxied",
            Self::Redirected => "redirected",
        }
    }
}

impl fmt::Display for TransferMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TransferMode {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        [Self::Put, Self::Multipart, Self::Proxied, Self::Redirected]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or(UnknownValue)
    }
}
