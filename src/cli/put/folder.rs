//! A folder as an artifact: a layer for each file, by its path in the folder.

use std::path::Path;

use anyhow::{Context, bail};

use super::Put;
use super::artifact::{self, Titled};
use crate::domain::reference::Tag;

pub(super) async fn put(put: &Put<'_>, folder: &Path, tag: &Tag) -> anyhow::Result<()> {
    let (owned, files) = (folder.to_owned(), tokio::task::spawn_blocking);
    let files =
        files(move || list(&owned)).await?.with_context(|| format!("cannot list {}", folder.display()))?;
    if files.is_empty() {
        bail!("{} has no files", folder.display());
    }
    let titled = files.into_iter().map(|title| Titled { path: folder.join(&title), title });
    artifact::put(put, &titled.collect::<Vec<_>>(), tag).await
}

/// The files below a folder, by their paths from there with slashes, in order. Links are followed to files only: one
/// to a folder could lead in a circle.
fn list(folder: &Path) -> anyhow::Result<Vec<String>> {
    let (mut files, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(below) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                bail!("{} has a name that is not UTF-8, which no artifact can keep", entry.path().display());
            };
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() || std::fs::metadata(entry.path()).is_ok_and(|target| target.is_file()) {
                files.push(path);
            } else {
                bail!("{path} is neither a file nor a folder; take it away or upload the files one by one");
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_in_order_with_slashes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/c")).unwrap();
        for name in ["z", "b/c/x", "b/a"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        assert_eq!(list(folder.path()).unwrap(), ["b/a", "b/c/x", "z"]);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
            assert!(list(folder.path()).unwrap_err().to_string().contains("dangling"));
        }
    }
}
