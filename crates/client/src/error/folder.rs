//! What can be wrong with files as an artifact, on either way.

use std::path::PathBuf;

/// Why files cannot become an artifact, or an artifact's files cannot be restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    #[error(transparent)]
    Title(#[from] InvalidTitle),
    #[error("{0} files are more than the {1} of an artifact")]
    TooManyFiles(usize, usize),
    #[error("two of the files are called {0:?}")]
    SameTitle(String),
    #[error("{} has no files", .0.display())]
    Empty(PathBuf),
    #[error("{} has a name that is not UTF-8, which no artifact can keep", .0.display())]
    NotUtf8(PathBuf),
    #[error("its layers have no titles, so they are no files")]
    NoTitles,
    #[error("it is an index of several manifests; name one of them by its digest")]
    IsIndex,
    #[error("a layer calls itself {0:?}, which would lead out of the folder; nothing was fetched")]
    LayerOutside(String),
    #[error("two layers call themselves {0:?}; nothing was fetched")]
    DuplicateTitle(String),
    #[error("annotation {annotation} cannot be read")]
    Annotation {
        annotation: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("the folder has {0:?}, which would lead out of it; nothing was fetched")]
    EntryOutside(String),
    #[error("{entry:?} lies behind the link {link:?}; nothing was fetched")]
    BehindLink { entry: String, link: String },
    #[error("link {link:?} leads out of the folder, to {target:?}; nothing was fetched")]
    LinkOutside { link: String, target: String },
    /// A link that was in the folder before leads elsewhere.
    #[error(
        "{} is outside of {}: a link leads to {}",
        folder.display(), root.display(), found.display()
    )]
    Outside { folder: PathBuf, root: PathBuf, found: PathBuf },
    #[error("{} lies behind a link that is there already; take that away", .0.display())]
    BehindOwnLink(PathBuf),
}

/// A text that no file could be restored as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no relative path, and no file could be restored as it")]
pub struct InvalidTitle(pub String);
