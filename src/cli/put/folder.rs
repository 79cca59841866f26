//! A folder as an artifact: a layer for each file, by its path in the folder, and an annotation for the rest.

use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use glob::{MatchOptions, Pattern};

use super::Put;
use super::artifact::{self, Titled};
use super::tree::{Tree, USUAL_MODE, leads_inside};
use crate::domain::reference::Tag;

/// `*` stays within a name, as shells have it.
const GLOB: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// What is below a folder.
#[derive(Debug, Default)]
struct FolderListing {
    /// By their paths from there with slashes, in order.
    files: Vec<String>,
    tree: Tree,
    /// What no artifact keeps, and why.
    left_out: Vec<(String, &'static str)>,
}

pub(super) async fn put(put: &Put<'_>, folder: &Path, tag: &Tag) -> anyhow::Result<()> {
    let (owned, exclude) = (folder.to_owned(), put.args.exclude.clone());
    let listing = tokio::task::spawn_blocking(move || list(&owned, &exclude));
    let FolderListing { files, tree, left_out } =
        listing.await?.with_context(|| format!("cannot list {}", folder.display()))?;
    for (path, why) in left_out {
        complain!("left out: {path}: {why}");
    }
    if files.is_empty() && tree.is_empty() {
        bail!("{} has no files", folder.display());
    }
    let titled = files.into_iter().map(|title| Titled { path: folder.join(&title), title });
    artifact::put(put, &titled.collect::<Vec<_>>(), &tree, tag).await
}

fn list(folder: &Path, exclude: &[Pattern]) -> anyhow::Result<FolderListing> {
    let (mut listed, mut folders) = (FolderListing::default(), vec![String::new()]);
    while let Some(below) = folders.pop() {
        let mut is_empty = true;
        for entry in fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                bail!("{} has a name that is not UTF-8, which no artifact can keep", entry.path().display());
            };
            let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            if exclude.iter().any(|pattern| is_excluded(pattern, &path, &name)) {
                continue;
            }
            is_empty = false;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                listed.file(path, &entry.metadata()?);
            } else if kind.is_symlink() {
                listed.link(path, &entry.path());
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

/// A pattern with a slash is for the whole path, one without for names at any depth.
fn is_excluded(pattern: &Pattern, path: &str, name: &str) -> bool {
    let subject = if pattern.as_str().contains('/') { path } else { name };
    pattern.matches_with(subject, GLOB)
}

impl FolderListing {
    fn file(&mut self, path: String, metadata: &Metadata) {
        let mode = metadata.permissions().mode() & 0o777;
        if mode != USUAL_MODE {
            self.tree.modes.insert(path.clone(), format!("{mode:o}"));
        }
        self.files.push(path);
    }

    /// A link that stays in the folder is one; of another to a file the bytes are taken.
    fn link(&mut self, path: String, place: &Path) {
        let target = fs::read_link(place).ok().and_then(|target| Some(target.to_str()?.to_owned()));
        match target {
            Some(target) if leads_inside(&path, &target) => {
                self.tree.links.insert(path, target);
            }
            _ => match fs::metadata(place) {
                Ok(target) if target.is_file() => self.file(path, &target),
                Ok(_) => self.left_out.push((path, "a link to a folder outside")),
                Err(_) => self.left_out.push((path, "a link to nothing, outside")),
            },
        }
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

        let listed = list(folder.path(), &["*.tmp".parse().unwrap()]).unwrap();
        assert_eq!(listed.files, ["b/a", "b/c/x", "taken", "z"]);
        assert_eq!(listed.tree.mode("b/a"), Some(0o750));
        assert_eq!(listed.tree.empty, ["empty/deeper"]);
        let links: Vec<_> = listed.tree.links.iter().map(|(path, target)| (&**path, &**target)).collect();
        assert_eq!(links, [("b/up", "../z"), ("dangling", "missing")]);
        let left_out: Vec<_> = listed.left_out.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(left_out, ["folder", "socket"]);
        let without = list(folder.path(), &["b/*".parse().unwrap(), "empty".parse().unwrap()]).unwrap();
        assert_eq!((without.files, without.tree.empty), (vec!["taken".into(), "z".into()], vec!["b".into()]));
    }
}
