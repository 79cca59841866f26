//! Files as an artifact: a layer for each, with its title.

use std::collections::BTreeSet;
use std::path::PathBuf;

use overside_client::InvalidTitle;
use overside_client::artifact::{ArtifactBuilder, Title};

use super::{Put, stream};
use crate::cli::BadUsage;
use crate::cli::artifact::Sending;
use crate::cli::pipe::is_stdio;
use crate::domain::reference::Tag;

/// A file with its title in the artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Titled {
    pub title: Title,
    pub path: PathBuf,
}

/// Files by the last part of their paths, or one by the title that was given.
pub(super) fn titled(files: Vec<PathBuf>, title: Option<&str>) -> Result<Vec<Titled>, BadUsage> {
    if title.is_some() && files.len() != 1 {
        return Err(BadUsage::new("--title is what one file is called; several keep their names"));
    }
    let mut seen = BTreeSet::new();
    let name = |path: PathBuf| {
        let own = path.file_name().and_then(|name| name.to_str()).filter(|_| !is_stdio(&path));
        let title = title.or(own).ok_or_else(|| {
            BadUsage::new(format!(
                "nothing says what {} is to be called; say it with --title",
                path.display()
            ))
        })?;
        let title: Title = title.parse().map_err(|error: InvalidTitle| BadUsage::new(error.to_string()))?;
        if !seen.insert(title.clone()) {
            return Err(BadUsage::new(format!(
                "two of the files are called {:?}; put the folder that they are in with --recursive",
                title.as_str()
            )));
        }
        Ok(Titled { title, path })
    };
    files.into_iter().map(name).collect()
}

/// Sends files in their order, so that the same files make the same artifact.
pub(super) async fn put(put: &Put<'_>, files: Vec<Titled>, tag: &Tag) -> anyhow::Result<()> {
    put.args.send.prepare(&put.repository).await?;
    let mut builder = ArtifactBuilder::default();
    for Titled { title, path } in files {
        builder = if is_stdio(&path) {
            // It cannot be read twice, and so is sent first.
            let sent = stream::put(put).await?;
            builder.uploaded(title, sent.digest, sent.size)
        } else {
            builder.file(title, path)
        };
    }
    push(put, builder, tag).await
}

/// Sends the files that were collected, and what names them.
pub(super) async fn push(put: &Put<'_>, builder: ArtifactBuilder, tag: &Tag) -> anyhow::Result<()> {
    let builder = builder.artifact_type(put.args.artifact_type.clone()).hash_cache(put.hashes.clone());
    let artifact = builder.jobs(put.limit.clone()).progress(put.display.progress()).build().await?;
    let push = put.repository.push_files(artifact).tag(tag.clone()).replace_tag(true).mode(put.args.mode);
    let push = push.jobs(put.limit.clone()).saved_uploads(put.saved.clone());
    let sending =
        Sending { display: &put.display, output: put.args.output, args: &put.args.send, before: None };
    sending.send(push, &put.name).await
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use super::*;

    #[test]
    fn files_keep_their_names_unless_one_is_given() {
        let title = |files: &[&str], title| {
            let files = titled(files.iter().map(PathBuf::from).collect(), title)
                .map_err(|error| error.to_string())?;
            Ok::<_, String>(files.into_iter().map(|file| file.title.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(title(&["data/a", "b"], None).unwrap(), ["a", "b"]);
        assert_eq!(title(&["-"], Some("dump.sql")).unwrap(), ["dump.sql"]);
        assert_eq!(title(&["a"], Some("day 1/b")).unwrap(), ["day 1/b"]);
        for (files, given, told) in [
            (&["-"][..], None, "--title"),
            (&["a", "b"], Some("c"), "one file"),
            (&["a/x", "b/x"], None, "two of the files"),
            (&["a"], Some("../up"), "no relative path"),
            (&["a/.."], None, "--title"),
        ] {
            assert!(title(files, given).unwrap_err().contains(told), "{files:?}");
        }
    }
}
