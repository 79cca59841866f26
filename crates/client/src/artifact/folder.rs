//! Reads a folder that is to become an artifact.

use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::folder_tree::{FolderTree, USUAL_MODE, leads_inside};
use super::title::Title;
use crate::error::FolderError;
use crate::files::source::blocking;
use crate::{Error, Result};

/// The contents of a folder: its files by their paths, and what it has besides their bytes.
#[derive(Debug)]
pub struct Folder {
    pub(super) path: PathBuf,
    /// In order.
    pub(super) files: Vec<Title>,
    pub(super) tree: FolderTree,
    left_out: Vec<(String, &'static str)>,
}

impl Folder {
    /// Lists everything below a folder. `is_excluded` gets each path, relative to the folder and with slashes; what it
    /// returns true for is left out, with all that is below it.
    ///
    /// A link that stays within the folder is kept as a link. Of a link to a file outside the file's bytes are taken.
    ///
    /// # Errors
    /// [`Error::File`] if a folder or a file's metadata cannot be read, [`Error::Folder`] if a name is not UTF-8 or has a
    /// character that no title can have, or if there is nothing to keep.
    pub async fn read(path: &Path, is_excluded: impl Fn(&str) -> bool + Send + 'static) -> Result<Self> {
        let owned = path.to_owned();
        blocking("list", path, move || {
            let folder = Self::list(owned, &is_excluded)?;
            if folder.files.is_empty() && folder.tree.is_empty() {
                return Err(FolderError::Empty(folder.path).into());
            }
            Ok(folder)
        })
        .await
    }

    /// The paths that no artifact keeps, each with the reason.
    #[must_use]
    pub fn left_out(&self) -> &[(String, &'static str)] {
        &self.left_out
    }

    fn list(path: PathBuf, is_excluded: &dyn Fn(&str) -> bool) -> Result<Self> {
        let mut listed = Self { path, files: Vec::new(), tree: FolderTree::default(), left_out: Vec::new() };
        let mut folders = vec![String::new()];
        while let Some(below) = folders.pop() {
            let folder = listed.path.join(&below);
            let mut is_empty = true;
            for entry in fs::read_dir(&folder).map_err(Error::file("list", &folder))? {
                let entry = entry.map_err(Error::file("list", &folder))?;
                let place = entry.path();
                let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                    return Err(FolderError::NotUtf8(place).into());
                };
                let path = if below.is_empty() { name } else { format!("{below}/{name}") };
                if is_excluded(&path) {
                    continue;
                }
                is_empty = false;
                let kind = entry.file_type().map_err(Error::file("read", &place))?;
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    listed.file(path, &entry.metadata().map_err(Error::file("read", &place))?)?;
                } else if kind.is_symlink() {
                    listed.link(path, &place)?;
                } else {
                    listed.left_out.push((path, "neither a file nor a folder nor a link"));
                }
            }
            if is_empty && !below.is_empty() {
                listed.tree.empty.push(below);
            }
        }
        listed.files.sort_unstable();
        listed.tree.empty.sort_unstable();
        listed.left_out.sort_unstable();
        Ok(listed)
    }

    fn file(&mut self, path: String, metadata: &Metadata) -> Result<()> {
        self.files.push(path.parse().map_err(FolderError::from)?);
        let mode = metadata.permissions().mode() & 0o777;
        if mode != USUAL_MODE {
            self.tree.modes.insert(path, format!("{mode:o}"));
        }
        Ok(())
    }

    fn link(&mut self, path: String, place: &Path) -> Result<()> {
        let target = fs::read_link(place).ok().and_then(|target| Some(target.to_str()?.to_owned()));
        match target {
            Some(target) if leads_inside(&path, &target) => {
                self.tree.links.insert(path, target);
            }
            _ => match fs::metadata(place) {
                Ok(target) if target.is_file() => self.file(path, &target)?,
                Ok(_) => self.left_out.push((path, "a link to a folder outside")),
                Err(_) => self.left_out.push((path, "a link to nothing, outside")),
            },
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_folder_is_listed_in_order_with_slashes_and_what_is_not_kept_is_named() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "outside").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("b/c")).unwrap();
        fs::create_dir_all(at("empty/deeper")).unwrap();
        for name in ["z", "b/c/x", "b/a", "b/a.tmp"] {
            fs::write(at(name), name).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(at("b/a"), fs::Permissions::from_mode(0o4750)).unwrap();
        symlink("../z", at("b/up")).unwrap();
        symlink("missing", at("dangling")).unwrap();
        symlink(outside.path().join("file"), at("taken")).unwrap();
        symlink(outside.path(), at("folder")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();

        let list = |is_excluded: &dyn Fn(&str) -> bool| {
            let listed = Folder::list(folder.path().to_owned(), is_excluded).unwrap();
            (listed.files.iter().map(ToString::to_string).collect::<Vec<_>>(), listed)
        };
        let (files, listed) = list(&|path| path == "b/a.tmp");
        assert_eq!(files, ["b/a", "b/c/x", "taken", "z"]);
        assert_eq!(listed.tree.mode("b/a"), Some(0o750));
        assert_eq!(listed.tree.empty, ["empty/deeper"]);
        let links: Vec<_> = listed.tree.links.iter().map(|(path, target)| (&**path, &**target)).collect();
        assert_eq!(links, [("b/up", "../z"), ("dangling", "missing")]);
        let left_out: Vec<_> = listed.left_out.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(left_out, ["folder", "socket"]);
        let (files, listed) = list(&|path| path.starts_with("b/") || path == "empty");
        assert_eq!((files, listed.tree.empty), (vec!["taken".into(), "z".into()], vec!["b".into()]));
    }
}
