//! Projects: who may make them, what is seen of them, their limits and their end.

use crate::db::{DeletedProject, Inserted, ProjectAccess, ProjectFilter};
use crate::domain::access::{Authority, Caller, ProjectName, ProjectReference, Role};
use crate::domain::project::{NewProject, Project, ProjectChanges, QuotaLimit};
use crate::domain::quota::Usage;
use crate::domain::settings::Setting;
use crate::service::accounts::access::{ProjectRight, is_unbound, role_in, user_id};
use crate::service::{Result, Service, ServiceError};

const UNKNOWN: ServiceError = ServiceError::Unknown("project");

/// A project as somebody sees it.
#[derive(Debug)]
pub struct ProjectDescription {
    pub project: Project,
    /// What the caller is in it.
    pub role: Option<Role>,
    pub repositories: u64,
}

/// What a project may have, and has.
#[derive(Debug)]
pub struct Quota {
    pub project: Project,
    pub used: Usage,
}

impl Service {
    /// Makes a project, whose admin the caller becomes; the id it got. What is not said of its limits is the default, or
    /// less: a limit that an administrator had set outlasts the project, or its admins would be rid of it by making the
    /// project anew.
    pub async fn create_project(
        &self,
        caller: &Caller,
        name: ProjectName,
        settings: &ProjectChanges,
    ) -> Result<i64> {
        if !self.may_create_projects(caller) {
            return Err(ServiceError::Forbidden("you have no permission to make projects"));
        }
        check_limits(caller, settings)?;
        let project = NewProject {
            name,
            is_public: settings.is_public.unwrap_or_default(),
            storage_limit: settings.storage_limit.unwrap_or_else(|| self.default_storage_limit()),
            count_limit: settings.count_limit.unwrap_or(QuotaLimit::NONE),
        };
        let owner = match &caller.authority {
            Authority::User { id, name, .. } => Some((*id, name.as_str())),
            _ => None,
        };
        let adopt = is_unbound(&caller.authority);
        match self.db.insert_project(&project, owner, adopt, self.clock.now()).await? {
            Inserted::Created(id) => Ok(id),
            Inserted::Exists => Err(ServiceError::Exists(format!("the name {} is taken", project.name))),
        }
    }

    pub async fn project(&self, caller: &Caller, project: &ProjectReference) -> Result<ProjectDescription> {
        let project = self.find_project(project).await?;
        let reference = ProjectReference::Id(project.id);
        let access = self.db.project_access(&reference, user_id(&caller.authority)).await?;
        self.describe(caller, project, access.and_then(|access| access.role)).await
    }

    /// Whether there is a project of this name that the caller may see.
    pub async fn sees_project(&self, caller: &Caller, project: &ProjectReference) -> Result<bool> {
        let is_there = self.db.find_project(project).await?.is_some();
        Ok(self.may(&caller.authority, project, ProjectRight::See).await? && is_there)
    }

    /// Projects that the caller may see in the order of their names, and how many there are in all.
    pub async fn projects(
        &self,
        caller: &Caller,
        (name_part, is_public): (&str, Option<bool>),
        (limit, offset): (u32, u64),
    ) -> Result<(Vec<ProjectDescription>, u64)> {
        let filter = ProjectFilter {
            with_public: true,
            name_part: name_part.to_owned(),
            is_public,
            ..inside(&caller.authority)
        };
        let (found, count) = self.db.visible_projects(&filter, limit, offset).await?;
        let mut projects = Vec::with_capacity(found.len());
        for (project, role) in found {
            projects.push(self.describe(caller, project, role).await?);
        }
        Ok((projects, count))
    }

    /// A project's own admins set its limits within what whoever runs the service has granted.
    pub async fn update_project(
        &self,
        caller: &Caller,
        project: &ProjectReference,
        changes: &ProjectChanges,
    ) -> Result<()> {
        let project = self.find_project(project).await?;
        let is_grant = is_unbound(&caller.authority);
        if self.db.update_project(project.id, changes, is_grant, self.clock.now()).await? {
            return Ok(());
        }
        self.find_project(&ProjectReference::Id(project.id)).await?;
        Err(ServiceError::Forbidden(
            "the limits are beyond what the project was granted; ask an administrator",
        ))
    }

    /// With its members, robots and open uploads, if it has no repository.
    pub async fn delete_project(&self, project: &ProjectReference) -> Result<()> {
        let project = self.find_project(project).await?;
        let given_to_new = self.default_storage_limit().get();
        match self.db.delete_project(project.id, given_to_new, self.clock.now()).await? {
            DeletedProject::Done => {
                self.account_cache.forget();
                Ok(())
            }
            DeletedProject::Absent => Err(UNKNOWN),
            DeletedProject::InUse => Err(ServiceError::InUse(
                "the project has repositories; delete their manifests and blobs first",
            )),
        }
    }

    pub async fn quota(&self, project: &ProjectReference) -> Result<Quota> {
        let project = self.find_project(project).await?;
        let used = self.db.project_usage(&project.name).await?;
        Ok(Quota { project, used })
    }

    /// Of the projects that the caller is in, in the order of their names, and how many there are in all.
    pub async fn quotas(&self, caller: &Caller, limit: u32, offset: u64) -> Result<(Vec<Quota>, u64)> {
        let (found, count) = self.db.visible_projects(&inside(&caller.authority), limit, offset).await?;
        let mut quotas = Vec::with_capacity(found.len());
        for (project, _) in found {
            let used = self.db.project_usage(&project.name).await?;
            quotas.push(Quota { project, used });
        }
        Ok((quotas, count))
    }

    /// Whoever has an account that is no program's, unless an administrator has kept that to themselves.
    fn may_create_projects(&self, caller: &Caller) -> bool {
        match caller.authority {
            Authority::Unchecked | Authority::User { is_admin: true, .. } => true,
            Authority::User { .. } => !self.settings().only_administrators_create_projects(),
            _ => false,
        }
    }

    /// What a project may have that was made without being told.
    fn default_storage_limit(&self) -> QuotaLimit {
        let limit = self.settings().limit(Setting::StoragePerProject);
        let limit = limit.and_then(|bytes| i64::try_from(bytes).ok());
        limit.and_then(|bytes| bytes.try_into().ok()).unwrap_or(QuotaLimit::NONE)
    }

    pub(in crate::service) async fn find_project(&self, project: &ProjectReference) -> Result<Project> {
        self.db.find_project(project).await?.ok_or(UNKNOWN)
    }

    /// `role` is what the members' table says.
    async fn describe(
        &self,
        caller: &Caller,
        project: Project,
        role: Option<Role>,
    ) -> Result<ProjectDescription> {
        let repositories = self.db.count_repositories(&project.name).await?;
        let access =
            ProjectAccess { id: project.id, name: project.name.clone(), is_public: project.is_public, role };
        Ok(ProjectDescription { role: role_in(&caller.authority, &access), project, repositories })
    }
}

fn check_limits(caller: &Caller, changes: &ProjectChanges) -> Result<()> {
    let has_limits = changes.storage_limit.is_some() || changes.count_limit.is_some();
    if has_limits && !is_unbound(&caller.authority) {
        return Err(ServiceError::Forbidden(
            "storage_limit and count_limit of a new project are an administrator's to set",
        ));
    }
    Ok(())
}

/// The projects that somebody is in.
fn inside(authority: &Authority) -> ProjectFilter {
    let names = match authority {
        Authority::Federated { roles, .. } => roles.iter().map(|(name, _)| name.clone()).collect(),
        Authority::Robot { project, .. } => vec![project.clone()],
        _ => Vec::new(),
    };
    let (is_all, user) = (is_unbound(authority), user_id(authority));
    ProjectFilter { is_all, user, names, ..ProjectFilter::default() }
}
