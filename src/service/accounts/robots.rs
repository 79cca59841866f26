//! Robots: accounts of programs, each in one project.

use crate::auth::secret::Secret;
use crate::db::{Inserted, RobotFilter};
use crate::domain::access::{Actions, Authority, Caller, ProjectName, ProjectReference, Role};
use crate::domain::account::{Robot, RobotName};
use crate::service::accounts::access::{is_unbound, user_id};
use crate::service::{Result, Service, ServiceError};

const UNKNOWN: ServiceError = ServiceError::Unknown("robot");
/// Longest description, in bytes.
const MAX_DESCRIPTION: usize = 1024;

#[derive(Debug)]
pub struct NewRobot {
    pub name: RobotName,
    pub description: String,
    pub actions: Actions,
    /// -1 for a life without end.
    pub days: i64,
}

impl Service {
    /// Makes a robot; its secret is in what is given here and nowhere else.
    pub async fn create_robot(&self, robot: NewRobot) -> Result<(Robot, Secret)> {
        if robot.actions.is_empty() {
            return Err(ServiceError::Invalid("a robot may do something: pull, push or delete".to_owned()));
        }
        check_description(&robot.description)?;
        let project = self.find_project(&ProjectReference::Name(robot.name.project.clone())).await?;
        let (secret, now, expires_at) = (Secret::generate(), self.clock.now(), self.expiry(robot.days)?);
        let may = (robot.description.as_str(), robot.actions);
        match self.db.insert_robot(&robot.name, may, &secret.hash(), now, expires_at).await? {
            Inserted::Created(id) => {
                let NewRobot { name, description, actions, .. } = robot;
                let robot =
                    Robot { id, name, description, actions, is_disabled: false, created_at: now, expires_at };
                Ok((robot, secret))
            }
            Inserted::Exists => Err(ServiceError::Exists(format!(
                "{} has a robot named {} already",
                project.name, robot.name.name
            ))),
        }
    }

    /// Robots of the projects that the caller manages in the order of their names, and how many there are in all.
    pub async fn robots(
        &self,
        caller: &Caller,
        project: Option<ProjectName>,
        (limit, offset): (u32, u64),
    ) -> Result<(Vec<Robot>, u64)> {
        let names = match &caller.authority {
            Authority::Federated { roles, .. } => {
                let managed = roles.iter().filter(|(_, role)| *role == Role::Admin);
                managed.map(|(name, _)| name.clone()).collect()
            }
            _ => Vec::new(),
        };
        let (is_all, user) = (is_unbound(&caller.authority), user_id(&caller.authority));
        Ok(self.db.robots(&RobotFilter { is_all, user, names, project }, limit, offset).await?)
    }

    pub async fn robot(&self, id: i64) -> Result<Robot> {
        self.db.find_robot(id).await?.ok_or(UNKNOWN)
    }

    /// None stays as it is.
    pub async fn update_robot(
        &self,
        id: i64,
        description: Option<&str>,
        is_disabled: Option<bool>,
    ) -> Result<()> {
        check_description(description.unwrap_or_default())?;
        let is_updated = self.db.update_robot(id, description, is_disabled).await?;
        self.account_cache.forget();
        if is_updated { Ok(()) } else { Err(UNKNOWN) }
    }

    /// The robot's new secret; from now on the old one is worth nothing.
    pub async fn rotate_robot(&self, id: i64) -> Result<Secret> {
        let secret = Secret::generate();
        if self.db.set_robot_secret(id, &secret.hash()).await? { Ok(secret) } else { Err(UNKNOWN) }
    }

    pub async fn delete_robot(&self, id: i64) -> Result<()> {
        let is_deleted = self.db.delete_robot(id, self.clock.now()).await?;
        self.account_cache.forget();
        if is_deleted { Ok(()) } else { Err(UNKNOWN) }
    }
}

fn check_description(description: &str) -> Result<()> {
    if description.len() > MAX_DESCRIPTION || description.contains('\0') {
        return Err(ServiceError::Invalid(format!("a description has at most {MAX_DESCRIPTION} bytes")));
    }
    Ok(())
}
