//! Modes, links and empty folders of a folder that became an artifact. They stand in an annotation of its manifest; other
//! tools restore the files and ignore it.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

/// The annotation of a manifest that holds a [`FolderTree`] as JSON.
pub(super) const ANNOTATION: &str = "overside.folder";
/// The mode of a file whose mode is not listed.
pub(super) const USUAL_MODE: u32 = 0o644;

/// What a folder has besides its files' bytes. Paths are relative to the folder, with slashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FolderTree {
    /// Permission bits of files, in octal digits, where they are not those of [`USUAL_MODE`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) modes: BTreeMap<String, String>,
    /// Symbolic links with their targets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) links: BTreeMap<String, String>,
    /// Folders that have nothing in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) empty: Vec<String>,
}

impl FolderTree {
    /// Whether there is nothing but files with the usual mode.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The permission bits of a file. Those that give somebody else's rights away (setuid and its like) are ignored.
    pub(super) fn mode(&self, path: &str) -> Option<u32> {
        Some(u32::from_str_radix(self.modes.get(path)?, 8).ok()? & 0o777)
    }
}

/// Whether a link at `path` leads to somewhere below the folder, wherever other links in it lead: up first and then down,
/// and never further up than the folder.
pub(super) fn leads_inside(path: &str, target: &str) -> bool {
    let depth = Path::new(path).components().count().saturating_sub(1);
    let (mut up, mut goes_down) = (0, false);
    for component in Path::new(target).components() {
        match component {
            Component::ParentDir if !goes_down => up += 1,
            Component::Normal(_) => goes_down = true,
            Component::CurDir => {}
            _ => return false,
        }
    }
    !target.is_empty() && up <= depth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_goes_up_before_it_goes_down_and_not_out() {
        for (path, target) in
            [("a", "b"), ("a", "b/c"), ("a/b/c", "../x"), ("a/b/c", "../../x"), ("a/b", "./c"), ("a/b", "..")]
        {
            assert!(leads_inside(path, target), "{path} -> {target}");
        }
        for (path, target) in [
            ("a", "../b"),
            ("a", "/etc/passwd"),
            ("a/b", "../../x"),
            ("a", ""),
            // Where `b` is a link to the folder itself this would lead out.
            ("a", "b/../c"),
            ("a/b/c", "../x/../../y"),
        ] {
            assert!(!leads_inside(path, target), "{path} -> {target}");
        }
    }

    #[test]
    fn modes_give_no_rights_of_others_away() {
        let tree: FolderTree =
            serde_json::from_str(r#"{"modes":{"a":"4755","b":"600","c":"rwx"}}"#).unwrap_or_default();
        assert_eq!(
            [tree.mode("a"), tree.mode("b"), tree.mode("c"), tree.mode("d")],
            [Some(0o755), Some(0o600), None, None]
        );
    }
}
