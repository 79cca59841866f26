//! A folder as an artifact, and which of its files are left out.

use std::path::Path;

use glob::{MatchOptions, Pattern};
use overside_client::artifact::{ArtifactBuilder, Folder};

use super::{Put, artifact};
use crate::domain::reference::Tag;

/// `*` stays within a name, as shells have it.
const GLOB: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

pub(super) async fn put(put: &Put<'_>, folder: &Path, tag: &Tag) -> anyhow::Result<()> {
    let patterns = put.args.exclude.clone();
    let is_left_out = move |path: &str| patterns.iter().any(|pattern| is_excluded(pattern, path));
    let folder = Folder::read(folder, is_left_out).await?;
    for (path, why) in folder.left_out() {
        complain!("left out: {path}: {why}");
    }
    put.args.send.prepare(&put.repository).await?;
    artifact::push(put, ArtifactBuilder::default().folder(folder), tag).await
}

/// A pattern with a slash is for the whole path, one without for names at any depth.
fn is_excluded(pattern: &Pattern, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let subject = if pattern.as_str().contains('/') { path } else { name };
    pattern.matches_with(subject, GLOB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_for_names_unless_it_has_a_slash() {
        for (pattern, path, is_left_out) in [
            ("*.tmp", "b/a.tmp", true),
            ("*.tmp", "b.tmp/a", false),
            ("b/*", "b/a", true),
            ("b/*", "b/c/x", false),
            ("empty", "deep/empty", true),
        ] {
            let parsed = Pattern::new(pattern).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(is_excluded(&parsed, path), is_left_out, "{pattern} {path}");
        }
    }
}
