//! Who is in a project, as what.

use crate::db::Inserted;
use crate::domain::access::{ProjectReference, Role};
use crate::domain::account::UserName;
use crate::domain::project::Member;
use crate::service::{Result, Service, ServiceError};

const UNKNOWN: ServiceError = ServiceError::Unknown("member");

/// Whom to make a member.
#[derive(Debug)]
pub enum NewMember {
    Name(UserName),
    Id(i64),
}

impl Service {
    /// A project's members in the order of their names, and how many there are in all.
    pub async fn members(
        &self,
        project: &ProjectReference,
        limit: u32,
        offset: u64,
    ) -> Result<(Vec<Member>, u64)> {
        let project = self.find_project(project).await?;
        Ok(self.db.members(project.id, limit, offset).await?)
    }

    pub async fn member(&self, project: &ProjectReference, id: i64) -> Result<Member> {
        let project = self.find_project(project).await?;
        self.db.find_member(project.id, id).await?.ok_or(UNKNOWN)
    }

    /// Makes somebody who is not in the project one of it; the ids of the project and the membership.
    pub async fn add_member(
        &self,
        project: &ProjectReference,
        user: &NewMember,
        role: Role,
    ) -> Result<(i64, i64)> {
        let project = self.find_project(project).await?;
        let user = match user {
            NewMember::Name(name) => self.user_by_name(name).await?,
            NewMember::Id(id) => self.user(*id).await?,
        };
        match self.db.insert_member(project.id, user.id, role, self.clock.now()).await? {
            Inserted::Created(id) => Ok((project.id, id)),
            Inserted::Exists => {
                Err(ServiceError::Exists(format!("{} is a member of {} already", user.name, project.name)))
            }
        }
    }

    pub async fn update_member(&self, project: &ProjectReference, id: i64, role: Role) -> Result<()> {
        let project = self.find_project(project).await?;
        if self.db.update_member(project.id, id, role).await? { Ok(()) } else { Err(UNKNOWN) }
    }

    pub async fn remove_member(&self, project: &ProjectReference, id: i64) -> Result<()> {
        let project = self.find_project(project).await?;
        if self.db.delete_member(project.id, id).await? { Ok(()) } else { Err(UNKNOWN) }
    }
}
