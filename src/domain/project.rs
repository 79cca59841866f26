//! Projects: what permissions and quotas are given for, and who is in them.

use std::fmt;
use std::str::FromStr;

use bytesize::ByteSize;
use chrono::{DateTime, Utc};

use super::access::{ProjectName, Role};

/// The most of something that a project may have: bytes, or tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimit(i64);

/// Why a number is no limit.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a limit is -1 for none, or a number from 0 up; sizes may be written like 10GiB")]
pub struct InvalidQuotaLimit;

impl QuotaLimit {
    pub const NONE: Self = Self(-1);

    /// -1 where there is none.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for QuotaLimit {
    type Error = InvalidQuotaLimit;

    fn try_from(limit: i64) -> Result<Self, InvalidQuotaLimit> {
        if limit >= -1 { Ok(Self(limit)) } else { Err(InvalidQuotaLimit) }
    }
}

/// `-1`, `1000`, `10GiB`.
impl FromStr for QuotaLimit {
    type Err = InvalidQuotaLimit;

    fn from_str(text: &str) -> Result<Self, InvalidQuotaLimit> {
        if text == "-1" {
            return Ok(Self::NONE);
        }
        let limit: ByteSize = text.parse().map_err(|_| InvalidQuotaLimit)?;
        i64::try_from(limit.0).map(Self).map_err(|_| InvalidQuotaLimit)
    }
}

impl fmt::Display for QuotaLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    pub id: i64,
    pub name: ProjectName,
    pub is_public: bool,
    /// In bytes.
    pub storage_limit: QuotaLimit,
    /// In tags.
    pub count_limit: QuotaLimit,
    /// Who created it; empty where nobody has to sign in.
    pub owner_name: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What there is to say of a new project.
#[derive(Debug, Clone)]
pub struct NewProject {
    pub name: ProjectName,
    pub is_public: bool,
    pub storage_limit: QuotaLimit,
    pub count_limit: QuotaLimit,
}

/// What is to be changed about a project; none stays as it is.
#[derive(Debug, Clone, Default)]
pub struct ProjectChanges {
    pub is_public: Option<bool>,
    pub storage_limit: Option<QuotaLimit>,
    pub count_limit: Option<QuotaLimit>,
}

/// A user in a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: i64,
    pub project_id: i64,
    pub user_id: i64,
    pub user_name: String,
    pub role: Role,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_a_size_and_minus_one_is_none() {
        for (text, limit) in [("-1", -1), ("0", 0), ("1000", 1000), ("10GiB", 10 << 30)] {
            assert_eq!(text.parse::<QuotaLimit>().map(QuotaLimit::get), Ok(limit), "{text}");
        }
        for bad in ["", "-2", "many", "9223372036854775808", "-1GiB"] {
            assert!(bad.parse::<QuotaLimit>().is_err(), "{bad}");
        }
        assert!(QuotaLimit::try_from(-2).is_err());
    }
}
