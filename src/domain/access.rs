//! Who may do what: roles, actions, and whom a request comes from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Serialize;

use super::name::RepositoryName;
use super::words::words;

pub use super::words::UnknownName;
pub use overside_protocol::name::{InvalidProjectName, ProjectName};

/// Longest name of a user or a robot.
pub const MAX_ACCOUNT_NAME_LENGTH: usize = 128;

/// What a project is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectReference {
    Name(ProjectName),
    Id(i64),
}

impl ProjectReference {
    /// What no project is asked for by.
    pub const NONE: Self = Self::Id(-1);
}

words! {
    /// What can be done in a repository.
    #[derive(PartialOrd, Ord, Serialize)]
    #[serde(rename_all = "lowercase")]
    Action {
        Pull: "pull",
        Push: "push",
        Delete: "delete",
    }
}

/// A set of actions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Actions(u8);

impl Actions {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self::NONE.with(Action::Pull).with(Action::Push).with(Action::Delete);

    #[must_use]
    pub const fn with(self, action: Action) -> Self {
        Self(self.0 | 1 << action as u8)
    }

    #[must_use]
    pub const fn contains(self, action: Action) -> bool {
        self.0 & (1 << action as u8) != 0
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(move |action| self.contains(*action))
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        actions.into_iter().fold(Self::NONE, Self::with)
    }
}

/// `pull,push`, as stored.
impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().map(Action::as_str).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Actions {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        text.split(',').filter(|part| !part.is_empty()).map(str::parse).collect()
    }
}

words! {
    /// What a member of a project is. Each may what the one before may.
    #[derive(PartialOrd, Ord, Serialize)]
    #[serde(rename_all = "lowercase")]
    Role {
        /// Pulls.
        Guest: "guest",
        /// Pushes.
        Developer: "developer",
        /// Deletes.
        Maintainer: "maintainer",
        /// Decides on members, robots and whether the project is public.
        Admin: "admin",
    }
}

impl Role {
    /// Its number, which Harbor's API has for it (`src/common/const.go` there).
    #[must_use]
    pub const fn id(self) -> i64 {
        match self {
            Self::Admin => 1,
            Self::Developer => 2,
            Self::Guest => 3,
            Self::Maintainer => 4,
        }
    }

    /// The least role that may do this in the project's repositories.
    #[must_use]
    pub const fn least_for(action: Action) -> Self {
        match action {
            Action::Pull => Self::Guest,
            Action::Push => Self::Developer,
            Action::Delete => Self::Maintainer,
        }
    }

    /// What the role may do in the project's repositories.
    #[must_use]
    pub const fn actions(self) -> Actions {
        match self {
            Self::Guest => Actions::NONE.with(Action::Pull),
            Self::Developer => Self::Guest.actions().with(Action::Push),
            Self::Maintainer | Self::Admin => Self::Developer.actions().with(Action::Delete),
        }
    }
}

/// Whose limits something counts against: a user's, or those of a project whose robots belong to no single user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Share {
    User(String),
    Project(ProjectName),
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Project(name) => write!(f, "project {name}"),
        }
    }
}

/// Whom a request comes from, and what that is known by.
#[derive(Debug, Clone)]
pub struct Caller {
    pub authority: Authority,
    /// Where the request comes from, as far as it is known.
    pub address: Option<IpAddr>,
}

/// What a caller's rights follow from.
#[derive(Debug, Clone)]
pub enum Authority {
    /// `--auth none`, or the command line beside the database: nobody asks.
    Unchecked,
    /// Whoever did not sign in.
    Anonymous,
    User {
        id: i64,
        name: String,
        is_admin: bool,
    },
    Robot {
        name: String,
        project: ProjectName,
        actions: Actions,
    },
    /// An OIDC token's bearer who is no user here: what its claims were mapped to.
    Federated {
        name: String,
        roles: Vec<(ProjectName, Role)>,
    },
    /// An access token of ours: exactly what it was issued for.
    Token(TokenGrants),
}

/// What an access token of ours says.
#[derive(Debug, Clone)]
pub struct TokenGrants {
    /// Who it was issued to; none for an anonymous one.
    pub name: Option<String>,
    /// The id of that user or robot, where it has one: another of the same name is somebody else.
    pub account: Option<i64>,
    pub repositories: Vec<(RepositoryName, Actions)>,
    /// Whether it was issued for listing repositories.
    pub catalog: bool,
}

impl Caller {
    /// Whoever may everything: see [`Authority::Unchecked`].
    pub const UNCHECKED: Self = Self { authority: Authority::Unchecked, address: None };

    /// The name that sessions belong to and that the audit log has; none for whoever did not sign in, or where nobody
    /// has to.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.authority {
            Authority::Unchecked | Authority::Anonymous => None,
            Authority::User { name, .. }
            | Authority::Robot { name, .. }
            | Authority::Federated { name, .. } => Some(name),
            Authority::Token(token) => token.name.as_deref(),
        }
    }
}
