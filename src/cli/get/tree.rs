//! What a folder has besides its files' bytes, restored. The annotation is a stranger's text: nothing in it leads out of
//! the folder, and nothing is written through a link.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use overside_client::manifest::Manifest;
use overside_protocol::wire::Descriptor;
use serde_json::Value;

use super::restore::stays_inside;
use crate::cli::put::{TREE, Tree, is_plain, leads_inside};

/// What the manifest says of it, if it can all be restored beside these files.
pub(super) fn of(manifest: &Manifest, files: &BTreeMap<String, Descriptor>) -> anyhow::Result<Tree> {
    let payload: Value = serde_json::from_slice(&manifest.payload).unwrap_or_default();
    let Some(text) = payload["annotations"][TREE].as_str() else { return Ok(Tree::default()) };
    let tree: Tree =
        serde_json::from_str(text).with_context(|| format!("annotation {TREE} cannot be read"))?;
    let entries: BTreeSet<_> =
        files.keys().chain(tree.links.keys()).chain(&tree.empty).map(String::as_str).collect();
    for path in &entries {
        ensure!(is_plain(path), "the folder has {path:?}, which would lead out of it; nothing was fetched");
        let through = Path::new(path)
            .ancestors()
            .skip(1)
            .find(|above| above.to_str().is_some_and(|above| tree.links.contains_key(above)));
        if let Some(link) = through {
            bail!("{path:?} lies behind the link {:?}; nothing was fetched", link.display().to_string());
        }
    }
    for (path, target) in &tree.links {
        ensure!(
            leads_inside(path, target),
            "link {path:?} leads out of the folder, to {target:?}; nothing was fetched"
        );
    }
    Ok(tree)
}

/// Once the files are there.
pub(super) async fn restore(
    root: &Path,
    tree: &Tree,
    files: &BTreeMap<String, Descriptor>,
) -> anyhow::Result<()> {
    for file in files.keys() {
        let Some(mode) = tree.mode(file) else { continue };
        let path = root.join(file);
        // Not through a link that was there before: what it leads to is nobody's to change here.
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
            fs::set_permissions(&path, Permissions::from_mode(mode))
                .with_context(|| format!("cannot set the mode of {}", path.display()))?;
        }
    }
    for folder in &tree.empty {
        make_folder(root, &root.join(folder)).await?;
    }
    for (path, target) in &tree.links {
        let place = root.join(path);
        let parent = place.parent().unwrap_or(root);
        make_folder(root, parent).await?;
        let relative = Path::new(path).parent().unwrap_or(Path::new(""));
        ensure!(
            fs::canonicalize(parent)? == fs::canonicalize(root)?.join(relative),
            "{} lies behind a link that is there already; take that away",
            place.display()
        );
        link(&place, target).with_context(|| format!("cannot make the link {}", place.display()))?;
    }
    Ok(())
}

async fn make_folder(root: &Path, folder: &Path) -> anyhow::Result<()> {
    stays_inside(root, folder).await?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// In place of another link; a file or a folder of that name stays.
fn link(place: &Path, target: &str) -> std::io::Result<()> {
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
