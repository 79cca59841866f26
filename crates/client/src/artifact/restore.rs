//! Restores the files of an artifact. Titles, links and modes are a stranger's text: nothing in them leads out of the
//! folder, and nothing is written through a link.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use overside_protocol::wire::Descriptor;
use serde_json::Value;

use super::folder_tree::{ANNOTATION, FolderTree, leads_inside};
use super::title::{TITLE, Title};
use crate::error::FolderError;
use crate::files::source::{FileSource, blocking};
use crate::progress::{Progress, reports_events};
use crate::registry::manifest::Manifest;
use crate::upload::concurrency::ConcurrencyLimit;
use crate::{Error, Repository, Result};

/// The files of an artifact: its layers by their titles, and what a folder has besides. All of it has been checked.
#[derive(Debug, Clone)]
pub struct ArtifactFiles {
    files: BTreeMap<Title, Descriptor>,
    tree: FolderTree,
}

/// Downloads the files of an artifact into a folder. Every file is verified before it gets its name.
#[derive(Debug)]
#[must_use = "nothing is fetched before `save`"]
pub struct Restore {
    repository: Repository,
    files: ArtifactFiles,
    limit: ConcurrencyLimit,
    progress: Progress,
}

reports_events!(Restore);

impl ArtifactFiles {
    /// Reads which files a manifest has.
    ///
    /// # Errors
    /// [`FolderError`] if the manifest is an index or its layers have no titles, if a title, a link or an empty folder leads
    /// out of the folder or lies behind a link, or if two layers have one title.
    pub fn of(manifest: &Manifest) -> Result<Self, FolderError> {
        if !manifest.manifests.is_empty() {
            return Err(FolderError::IsIndex);
        }
        let mut files = BTreeMap::new();
        for layer in &manifest.layers {
            let Some(title) = layer.annotation(TITLE) else { continue };
            let title: Title = title.parse().map_err(|_| FolderError::LayerOutside(title.to_owned()))?;
            if files.insert(title.clone(), layer.clone()).is_some_and(|other| other.digest != layer.digest) {
                return Err(FolderError::DuplicateTitle(title.to_string()));
            }
        }
        let files = Self { tree: tree(manifest, &files)?, files };
        if files.files.is_empty() && files.tree.is_empty() { Err(FolderError::NoTitles) } else { Ok(files) }
    }

    /// Each file's layer by its title, in order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Title, &Descriptor)> {
        self.files.iter()
    }
}

/// The tree of an artifact, if it can all be restored beside these files.
fn tree(manifest: &Manifest, files: &BTreeMap<Title, Descriptor>) -> Result<FolderTree, FolderError> {
    let payload: Value = serde_json::from_slice(&manifest.payload).unwrap_or_default();
    let Some(text) = payload["annotations"][ANNOTATION].as_str() else { return Ok(FolderTree::default()) };
    let tree: FolderTree = serde_json::from_str(text)
        .map_err(|source| FolderError::Annotation { annotation: ANNOTATION, source })?;
    let entries: BTreeSet<_> = files
        .keys()
        .map(Title::as_str)
        .chain(tree.links.keys().chain(&tree.empty).map(String::as_str))
        .collect();
    for path in entries {
        path.parse::<Title>().map_err(|_| FolderError::EntryOutside(path.to_owned()))?;
        let parents = Path::new(path).ancestors().skip(1).filter_map(Path::to_str);
        if let Some(link) = parents.into_iter().find(|parent| tree.links.contains_key(*parent)) {
            return Err(FolderError::BehindLink { entry: path.to_owned(), link: link.to_owned() });
        }
    }
    for (link, target) in &tree.links {
        if !leads_inside(link, target) {
            return Err(FolderError::LinkOutside { link: link.clone(), target: target.clone() });
        }
    }
    Ok(tree)
}

impl Repository {
    /// Downloads an artifact's files.
    pub fn restore(&self, files: ArtifactFiles) -> Restore {
        let (limit, progress) = (ConcurrencyLimit::default(), Progress::default());
        Restore { repository: self.clone(), files, limit, progress }
    }
}

impl Restore {
    /// Fetches so many files at a time: 4 by default.
    pub fn jobs(mut self, limit: impl Into<ConcurrencyLimit>) -> Self {
        self.limit = limit.into();
        self
    }

    /// Restores the files in a folder. Files that are there are replaced; those that are right already are not fetched.
    ///
    /// # Errors
    /// [`Error::Folder`] if a link that is in the folder already leads a file elsewhere, [`Error::File`] if something cannot
    /// be written, and as [`Download::save`](crate::Download::save) for each file. What was restored by then stays.
    pub async fn save(self, folder: impl AsRef<Path>) -> Result<()> {
        let root = folder.as_ref();
        let fetching = self.files.iter().map(|(title, layer)| self.fetch(root, title, layer));
        stream::iter(fetching).buffer_unordered(self.limit.jobs()).try_collect::<()>().await?;
        let (owned, files) = (root.to_owned(), self.files);
        blocking("write", root, move || restore_tree(&owned, &files)).await
    }

    async fn fetch(&self, root: &Path, title: &Title, layer: &Descriptor) -> Result<()> {
        let (file, progress) = (root.join(title.as_str()), self.progress.of(title.as_str()));
        // What an earlier run has finished is verified again, but not fetched again.
        if let Ok(source) = FileSource::open(&file).await
            && source.size() == layer.size
            && source.hash(&progress).await.is_ok_and(|hashed| hashed.digest == layer.digest)
        {
            return Ok(());
        }
        let (owned, folder) = (root.to_owned(), file.parent().unwrap_or(root).to_owned());
        blocking("create", root, move || create_inside(&owned, &folder)).await?;
        self.repository.download(&layer.digest).progress(progress).save(&file).await?;
        Ok(())
    }
}

/// Sets modes, and creates empty folders and links, once the files are there.
fn restore_tree(root: &Path, files: &ArtifactFiles) -> Result<()> {
    let tree = &files.tree;
    for title in files.files.keys() {
        let Some(mode) = tree.mode(title.as_str()) else { continue };
        let path = root.join(title.as_str());
        // Not through a link that was there before: what it leads to is nobody's to change here.
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
            let set = fs::set_permissions(&path, Permissions::from_mode(mode));
            set.map_err(Error::file("set the mode of", &path))?;
        }
    }
    for folder in &tree.empty {
        create_inside(root, &root.join(folder))?;
    }
    for (path, target) in &tree.links {
        let place = root.join(path);
        let parent = place.parent().unwrap_or(root);
        create_inside(root, parent)?;
        let relative = Path::new(path).parent().unwrap_or(Path::new(""));
        if canonical(parent)? != canonical(root)?.join(relative) {
            return Err(FolderError::BehindOwnLink(place).into());
        }
        link(&place, target).map_err(Error::file("make the link", &place))?;
    }
    Ok(())
}

/// Creates a folder below the root. A link in the root may lead elsewhere, whoever put it there: as far as `folder` exists
/// it decides, and nothing is created before.
fn create_inside(root: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(root).map_err(Error::file("create", root))?;
    let real_root = canonical(root)?;
    // A link that leads nowhere cannot be made a folder.
    if let Some(found) = folder.ancestors().find_map(|ancestor| fs::canonicalize(ancestor).ok())
        && !found.starts_with(&real_root)
    {
        return Err(FolderError::Outside { folder: folder.to_owned(), root: real_root, found }.into());
    }
    fs::create_dir_all(folder).map_err(Error::file("create", folder))
}

fn canonical(path: &Path) -> Result<std::path::PathBuf> {
    fs::canonicalize(path).map_err(Error::file("read", path))
}

/// Makes a link in place of another one; a file or a folder of that name stays.
fn link(place: &Path, target: &str) -> io::Result<()> {
    if fs::read_link(place).is_ok_and(|there| there == Path::new(target)) {
        return Ok(());
    }
    match fs::symlink_metadata(place) {
        Ok(there) if there.is_symlink() => fs::remove_file(place)?,
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(target, place)
}
