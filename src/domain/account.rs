//! Users and robots, and what they are called.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::access::{Actions, MAX_ACCOUNT_NAME_LENGTH, ProjectName};

/// What a robot's name begins with: no user's has a dollar sign (Harbor, "Create System Robot Accounts").
const ROBOT_PREFIX: &str = "robot$";

/// Longest URL of an issuer, and longest subject (OIDC Core 1.0 §2).
const MAX_ISSUER_LENGTH: usize = 1024;
const MAX_SUBJECT_LENGTH: usize = 255;

/// `alice`, `alice@example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct UserName(String);

/// Why a text is no user's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "a user's name has 1 to {MAX_ACCOUNT_NAME_LENGTH} letters, digits and '.', '_', '-', '@', and begins with a letter or digit"
)]
pub struct InvalidUserName;

impl UserName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UserName {
    type Err = InvalidUserName;

    fn from_str(text: &str) -> Result<Self, InvalidUserName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins_well && text.len() <= MAX_ACCOUNT_NAME_LENGTH && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidUserName)
        }
    }
}

/// `robot$team+ci`: the project is part of the name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RobotName {
    pub project: ProjectName,
    /// Within the project; of a repository's segment's form.
    pub name: String,
}

/// Why a text is no robot's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a robot is named robot$PROJECT+NAME; both are a-z and 0-9, joined by '.', '_', '__' or dashes")]
pub struct InvalidRobotName;

impl RobotName {
    /// From the parts.
    ///
    /// # Errors
    ///
    /// The name has not the form of a repository's segment.
    pub fn new(project: ProjectName, name: &str) -> Result<Self, InvalidRobotName> {
        // The form of a project's name is that of a segment.
        let name: ProjectName = name.parse().map_err(|_| InvalidRobotName)?;
        Ok(Self { project, name: name.to_string() })
    }
}

impl fmt::Display for RobotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ROBOT_PREFIX}{}+{}", self.project, self.name)
    }
}

impl FromStr for RobotName {
    type Err = InvalidRobotName;

    fn from_str(text: &str) -> Result<Self, InvalidRobotName> {
        let (project, name) =
            text.strip_prefix(ROBOT_PREFIX).and_then(|rest| rest.split_once('+')).ok_or(InvalidRobotName)?;
        Self::new(project.parse().map_err(|_| InvalidRobotName)?, name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: i64,
    pub name: String,
    pub is_admin: bool,
    /// False for whoever signs in with tokens alone.
    pub has_password: bool,
    pub identity: Option<FederatedIdentity>,
    pub created_at: DateTime<Utc>,
}

/// Whose OIDC tokens are a user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederatedIdentity {
    pub issuer: String,
    pub subject: String,
}

/// Why a text is nobody's identity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an OIDC issuer is a URL, a subject has 1 to {MAX_SUBJECT_LENGTH} characters of ASCII")]
pub struct InvalidIdentity;

impl FederatedIdentity {
    /// # Errors
    ///
    /// The issuer is no `http` or `https` URL, or one of the two is empty, too long or not printable ASCII.
    pub fn new(issuer: String, subject: String) -> Result<Self, InvalidIdentity> {
        let is_text = |text: &str, most: usize| {
            !text.is_empty() && text.len() <= most && text.bytes().all(|c| c.is_ascii_graphic() || c == b' ')
        };
        let is_url = issuer.starts_with("https://") || issuer.starts_with("http://");
        if is_url && is_text(&issuer, MAX_ISSUER_LENGTH) && is_text(&subject, MAX_SUBJECT_LENGTH) {
            Ok(Self { issuer, subject })
        } else {
            Err(InvalidIdentity)
        }
    }
}

/// What a user's programs sign in with, without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    pub id: Uuid,
    /// One of its user's alone.
    pub name: String,
    pub created_at: DateTime<Utc>,
    /// None for never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The account of a program, in one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Robot {
    pub id: i64,
    pub name: RobotName,
    pub description: String,
    pub actions: Actions,
    pub is_disabled: bool,
    pub created_at: DateTime<Utc>,
    /// None for never.
    pub expires_at: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_robot_and_a_user_never_share_a_name() {
        for robot in ["robot$team+ci", "robot$a-b+c.d"] {
            let name: RobotName = robot.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(name.to_string(), robot);
            assert_eq!(robot.parse::<UserName>(), Err(InvalidUserName));
        }
        for bad in [
            "robot$team",
            "robot$+ci",
            "robot$team+",
            "robot$a/b+c",
            "robot$team+a+b",
            "team+ci",
            "robot$Team+ci",
        ] {
            assert!(bad.parse::<RobotName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_have_nothing_that_means_something_elsewhere() {
        for good in ["alice", "Alice.B@example.com", "7of9"] {
            assert!(good.parse::<UserName>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a:b", "a/b", "a$b", "a#b", "-a", "a\u{e9}", &"a".repeat(129)] {
            assert!(bad.parse::<UserName>().is_err(), "{bad}");
        }
    }
}
