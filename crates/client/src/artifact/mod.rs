//! Artifacts: images, indexes and whatever else a manifest names, between registries, archives and folders.
//!
//! ```text
//! push ──> plan, referrers ──> origin ──> built       what is pushed: from a registry, an archive, or files
//! pull ──> plan                                       into an archive or an image layout
//! restore ──> titles, folder_tree                     into the files of a folder
//! folder, builder ──> titles, folder_tree             files and folders as an artifact
//! ```

mod builder;
mod find;
mod folder;
mod folder_tree;
mod origin;
mod plan;
mod pull;
mod push;
mod referrers;
mod restore;
mod title;

pub use builder::{ArtifactBuilder, BuiltArtifact, DEFAULT_TYPE};
pub use find::select;
pub use folder::Folder;
pub use folder_tree::FolderTree;
pub use origin::Origin;
pub use plan::Plan;
pub use pull::Pull;
pub use push::{Push, TransferReport};
pub use restore::{ArtifactFiles, Restore};
pub use title::{TITLE, Title};
