//! The handle of one repository, whose methods are the operations on it.

use overside_protocol::name::RepositoryName;

use crate::Registry;

/// One repository of a registry. Cheap to clone; whether the registry has it shows only when it is used.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) registry: Registry,
    pub(crate) name: RepositoryName,
}

impl Registry {
    /// A repository of this registry, by its name.
    #[must_use]
    pub fn repository(&self, name: RepositoryName) -> Repository {
        Repository { registry: self.clone(), name }
    }
}

impl Repository {
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    #[must_use]
    pub const fn name(&self) -> &RepositoryName {
        &self.name
    }
}
