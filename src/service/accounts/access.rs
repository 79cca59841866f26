//! Who may do what: the one place where that is decided, for every front door.
//!
//! A project that a caller may not know of and one that does not exist are looked up by the same statement and get the
//! same answer.

use crate::db::{ProjectAccess, Reader};
use crate::domain::access::{
    Action, Actions, Authority, Caller, ProjectName, ProjectReference, Role, TokenGrants,
};
use crate::domain::account::RobotName;
use crate::domain::name::RepositoryName;
use crate::service::accounts::identity::{is_of_issuer, user};
use crate::service::{Result, Service, ServiceError};

/// What a request needs to be allowed.
#[derive(Debug, Clone)]
pub enum Requirement {
    /// Nothing: what it does tells nobody anything, or it brings a proof of its own.
    Nothing,
    /// Somebody who signed in, or holds a token that says that nobody did: `GET /v2/`, where clients learn how to.
    Client,
    /// Somebody who signed in.
    Account,
    /// Somebody who runs the service.
    Administrator,
    Repository(RepositoryName, Action),
    /// To list repositories: those that may be pulled from.
    Catalog,
    Project(ProjectReference, ProjectRight),
    /// To manage the project that the robot is in.
    Robot(i64),
    /// To be that user, or somebody who runs the service.
    User(i64),
}

/// What can be done with a project itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectRight {
    /// See it: its members, and anybody where it is public.
    See,
    /// See who is in it and what was done.
    SeeInside,
    /// Members, robots, whether it is public; and its end.
    Manage,
}

impl Service {
    /// Fails unless the caller may do what it takes.
    pub async fn authorize(&self, caller: &Caller, requirement: &Requirement) -> Result<()> {
        if matches!(caller.authority, Authority::Unchecked) {
            return Ok(());
        }
        let is_allowed = match requirement {
            Requirement::Nothing => true,
            Requirement::Client => !matches!(caller.authority, Authority::Anonymous),
            Requirement::Account => is_account(&caller.authority),
            Requirement::Administrator => is_administrator(&caller.authority),
            Requirement::Repository(repository, action) => {
                self.actions(caller, repository).await?.contains(*action)
            }
            Requirement::Catalog => match &caller.authority {
                Authority::Token(token) => token.catalog,
                authority => is_account(authority),
            },
            Requirement::Project(project, right) => self.may(&caller.authority, project, *right).await?,
            Requirement::Robot(id) => {
                let project = self.db.find_robot(*id).await?.map(|robot| robot.name.project);
                let project = project.map_or(ProjectReference::NONE, ProjectReference::Name);
                self.may(&caller.authority, &project, ProjectRight::Manage).await?
            }
            Requirement::User(id) => {
                is_administrator(&caller.authority) || user_id(&caller.authority) == Some(*id)
            }
        };
        match requirement {
            _ if is_allowed => Ok(()),
            Requirement::Repository(repository, action) => {
                Err(self.refusal_in(caller, repository, *action).await?)
            }
            Requirement::Project(project, ProjectRight::Manage) => {
                Err(self.not_manager(caller, project).await?)
            }
            Requirement::Administrator | Requirement::User(_) => Err(not_administrator(caller)),
            _ => Err(refusal(caller)),
        }
    }

    /// Members are told what they are; others learn nothing of the project.
    async fn not_manager(&self, caller: &Caller, project: &ProjectReference) -> Result<ServiceError> {
        let Some(name) = caller.name() else { return Ok(refusal(caller)) };
        let found = self.db.project_access(project, user_id(&caller.authority)).await?;
        Ok(match found.and_then(|found| Some((role_in(&caller.authority, &found)?, found.name))) {
            Some((role, project)) => {
                let message = lacks_role(name, role, &project, Role::Admin);
                ServiceError::NotPermitted { message, by_token: false }
            }
            None => refusal(caller),
        })
    }

    /// Says whether to sign in, to get another token, or that neither would help.
    async fn refusal_in(
        &self,
        caller: &Caller,
        repository: &RepositoryName,
        action: Action,
    ) -> Result<ServiceError> {
        let by_token = matches!(caller.authority, Authority::Token(_));
        let project = repository.project();
        let Some(name) = caller.name() else {
            // What every client asks first: nothing is looked up for it.
            if !by_token {
                return Ok(ServiceError::Unauthenticated);
            }
            if self.account_actions(&Authority::Anonymous, &project).await?.contains(action) {
                return Ok(ServiceError::ScopeInsufficient);
            }
            let message = "nobody signed in, and this is not for everybody; sign in first".to_owned();
            return Ok(ServiceError::NotPermitted { message, by_token });
        };
        let account = self.account_of(caller).await?;
        // What whoever signed in by another issuer may do is in a token of that, which is not here.
        let is_federated = matches!(account, Authority::Anonymous);
        let reference = ProjectReference::Name(project.clone());
        let found = self.db.project_access(&reference, user_id(&account)).await?;
        let actions = found.as_ref().map_or(Actions::NONE, |found| actions_in(&account, found));
        if by_token && (is_federated || actions.contains(action)) {
            return Ok(ServiceError::ScopeInsufficient);
        }
        let role = found.and_then(|found| role_in(&account, &found));
        let message = if is_administrator(&account) {
            format!("there is no project {project}; make it first, as by `overside project create {project}`")
        } else if let Some(role) = role {
            lacks_role(name, role, &project, Role::least_for(action))
        } else {
            let what = match action {
                Action::Pull => "pull from",
                Action::Push => "push to",
                Action::Delete => "delete from",
            };
            format!(
                "{name} has no permission to {what} this repository, or its project does not exist; an admin of the \
                 project may help: `overside project member set {project} {name} {}`",
                Role::least_for(action)
            )
        };
        Ok(ServiceError::NotPermitted { message, by_token })
    }

    /// What a caller may do in a repository.
    pub async fn actions(&self, caller: &Caller, repository: &RepositoryName) -> Result<Actions> {
        match &caller.authority {
            Authority::Unchecked => Ok(Actions::ALL),
            Authority::Token(token) => {
                let granted = token.repositories.iter().filter(|(name, _)| name == repository);
                Ok(granted.fold(Actions::NONE, |all, (_, actions)| all.union(*actions)))
            }
            authority => self.account_actions(authority, &repository.project()).await,
        }
    }

    /// Of what a token is asked for, what its caller may do.
    pub async fn grants(&self, caller: &Caller, asked: TokenGrants) -> Result<TokenGrants> {
        let mut repositories: Vec<(RepositoryName, Actions)> = Vec::new();
        for (repository, actions) in asked.repositories {
            let granted = self.actions(caller, &repository).await?.intersection(actions);
            if !granted.is_empty() {
                repositories.push((repository, granted));
            }
        }
        let catalog = asked.catalog && is_account(&caller.authority);
        let account = match (&caller.authority, caller.name()) {
            (Authority::Token(token), _) => token.account,
            (_, Some(name)) => {
                self.active_account(name).await?.and_then(|active_account| active_account.account)
            }
            (_, None) => None,
        };
        Ok(TokenGrants { name: caller.name().map(str::to_owned), account, repositories, catalog })
    }

    /// Whose rights a caller has: of a token, those of whoever it was issued to, as they are now.
    pub(in crate::service) async fn account_of(&self, caller: &Caller) -> Result<Authority> {
        let Authority::Token(token) = &caller.authority else { return Ok(caller.authority.clone()) };
        let Some(name) = &token.name else { return Ok(Authority::Anonymous) };
        self.account_named(name).await
    }

    /// Whether somebody who shows no credentials now, and could do this to a repository, still may. What whoever signed in by
    /// another issuer may do is in their token alone: they may as long as what they have begun lasts.
    pub(in crate::service) async fn may_still(
        &self,
        name: Option<&str>,
        repository: &RepositoryName,
        action: Action,
    ) -> Result<bool> {
        if self.auth.is_none() {
            return Ok(true);
        }
        let authority = match name {
            None => Authority::Anonymous,
            Some(name) if is_of_issuer(name) => return Ok(true),
            Some(name) => self.account_named(name).await?,
        };
        Ok(self.account_actions(&authority, &repository.project()).await?.contains(action))
    }

    /// The rights of an account as they are now.
    pub(super) async fn account_named(&self, name: &str) -> Result<Authority> {
        if let Ok(robot) = name.parse::<RobotName>() {
            let found = self.db.find_robot_account(&robot).await?;
            let alive = found.filter(|found| !found.is_disabled && self.is_unexpired(found.expires_at));
            return Ok(alive.map_or(Authority::Anonymous, |found| Authority::Robot {
                name: name.to_owned(),
                project: robot.project,
                actions: found.actions,
            }));
        }
        let found = self.db.find_user_account(name).await?;
        Ok(found.map_or(Authority::Anonymous, user))
    }

    pub(in crate::service) async fn account_actions(
        &self,
        authority: &Authority,
        project: &ProjectName,
    ) -> Result<Actions> {
        if matches!(authority, Authority::Unchecked) {
            return Ok(Actions::ALL);
        }
        let reference = ProjectReference::Name(project.clone());
        let found = self.db.project_access(&reference, user_id(authority)).await?;
        Ok(found.map_or(Actions::NONE, |found| actions_in(authority, &found)))
    }

    /// What a project is called; none where its id is no project's. By a name it may be one that is gone.
    pub async fn project_name(&self, project: &ProjectReference) -> Result<Option<ProjectName>> {
        match project {
            ProjectReference::Name(name) => Ok(Some(name.clone())),
            ProjectReference::Id(_) => {
                Ok(self.db.project_access(project, None).await?.map(|found| found.name))
            }
        }
    }

    pub(in crate::service) async fn may(
        &self,
        authority: &Authority,
        project: &ProjectReference,
        right: ProjectRight,
    ) -> Result<bool> {
        if is_unbound(authority) {
            return Ok(true);
        }
        let Some(found) = self.db.project_access(project, user_id(authority)).await? else {
            return Ok(false);
        };
        Ok(match right {
            ProjectRight::See => actions_in(authority, &found).contains(Action::Pull),
            ProjectRight::SeeInside => role_in(authority, &found).is_some(),
            ProjectRight::Manage => role_in(authority, &found) == Some(Role::Admin),
        })
    }
}

/// For members, who may know that.
fn lacks_role(name: &str, role: Role, project: &ProjectName, needed: Role) -> String {
    format!(
        "{name} is {role} of project {project}, and this takes {needed}; an admin of the project can see to it: \
         `overside project member set {project} {name} {needed}`"
    )
}

fn not_administrator(caller: &Caller) -> ServiceError {
    match (refusal(caller), caller.name()) {
        (ServiceError::Denied, Some(name)) => {
            let message = format!("{name} is no administrator, and this is for those who run the service");
            ServiceError::NotPermitted { message, by_token: false }
        }
        (refusal, _) => refusal,
    }
}

/// What somebody may do in the repositories of a project.
fn actions_in(authority: &Authority, project: &ProjectAccess) -> Actions {
    let public = if project.is_public { Actions::NONE.with(Action::Pull) } else { Actions::NONE };
    let own = match authority {
        Authority::Unchecked | Authority::User { is_admin: true, .. } => Actions::ALL,
        Authority::Robot { project: own, actions, .. } if *own == project.name => *actions,
        authority => role_in(authority, project).map_or(Actions::NONE, Role::actions),
    };
    own.union(public)
}

pub(in crate::service) fn role_in(authority: &Authority, project: &ProjectAccess) -> Option<Role> {
    match authority {
        Authority::User { .. } => project.role,
        Authority::Federated { roles, .. } => {
            roles.iter().filter(|(name, _)| *name == project.name).map(|(_, role)| *role).max()
        }
        _ => None,
    }
}

/// Whose repositories somebody reads who signs in so, besides those of public projects.
pub(in crate::service) fn reader(authority: &Authority) -> Reader {
    let projects = match authority {
        Authority::Federated { roles, .. } => roles.iter().map(|(name, _)| name.clone()).collect(),
        Authority::Robot { project, actions, .. } if actions.contains(Action::Pull) => vec![project.clone()],
        _ => Vec::new(),
    };
    Reader { is_all: is_unbound(authority), user: user_id(authority), projects }
}

pub(in crate::service) const fn user_id(authority: &Authority) -> Option<i64> {
    match authority {
        Authority::User { id, .. } => Some(*id),
        _ => None,
    }
}

const fn is_account(authority: &Authority) -> bool {
    matches!(authority, Authority::User { .. } | Authority::Robot { .. } | Authority::Federated { .. })
}

const fn is_administrator(authority: &Authority) -> bool {
    matches!(authority, Authority::User { is_admin: true, .. })
}

/// Whether a caller may do whatever there is to do.
pub(in crate::service) const fn is_unbound(authority: &Authority) -> bool {
    matches!(authority, Authority::Unchecked) || is_administrator(authority)
}

/// Who has not signed in may; whose token is too narrow may get another; all others may not.
fn refusal(caller: &Caller) -> ServiceError {
    match caller.authority {
        Authority::Anonymous => ServiceError::Unauthenticated,
        Authority::Token(_) => ServiceError::ScopeInsufficient,
        _ => ServiceError::Denied,
    }
}
