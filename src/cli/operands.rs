//! Which operands are files, and which names a repository. Nothing is guessed: the name comes last, or by `--to`.

use std::path::{Path, PathBuf};

use overside_client::ImageRef;

use super::BadUsage;
use super::pipe::is_stdio;

/// The files, and where they go: what `--to` names, or else the last operand, which must be no file then.
///
/// # Errors
///
/// Bad usage: a shell's `*.parquet` without a name behind it would else take the last file for the repository, and
/// send the others there.
pub(super) fn files_and_name(
    operands: &[PathBuf],
    to: Option<&ImageRef>,
) -> Result<(Vec<PathBuf>, ImageRef), BadUsage> {
    if let Some(name) = to {
        return Ok((operands.to_vec(), name.clone()));
    }
    let Some((last, files)) = operands.split_last() else {
        return Err(BadUsage::new("no file is named, and no repository"));
    };
    let shown = last.display();
    let name = last.to_str().unwrap_or_default().parse::<ImageRef>();
    if is_file(last) {
        // Where a repository may be called so as well, this is how it is meant.
        let instead = name.map_or_else(
            |_| String::new(),
            |name| format!("; for a repository of that name write --to {name}"),
        );
        return Err(BadUsage::new(format!(
            "{shown} is {}, and nothing says where the files go: write a repository's name behind them, such as \
             team/model{instead}",
            if last.is_dir() { "a folder" } else { "a file" },
        )));
    }
    let name = name.map_err(|error| {
        BadUsage::new(format!("{shown} names no repository, which comes last or by --to: {error}"))
    })?;
    if files.is_empty() {
        return Err(BadUsage::new(format!(
            "nothing says what goes to {name}: write files before it, or - for standard input"
        )));
    }
    Ok((files.to_vec(), name))
}

/// A folder is one too, and so is a link that leads nowhere, and standard input.
fn is_file(path: &Path) -> bool {
    is_stdio(path) || path.symlink_metadata().is_ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use super::*;

    fn split(operands: &[&Path], to: Option<&str>) -> Result<(usize, String), String> {
        let operands: Vec<_> = operands.iter().map(|operand| operand.to_path_buf()).collect();
        let to = to.map(|name| name.parse().unwrap());
        let split = files_and_name(&operands, to.as_ref()).map_err(|error| error.to_string())?;
        Ok((split.0.len(), split.1.to_string()))
    }

    #[test]
    fn the_last_operand_is_the_name_unless_it_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = &folder.path().join("b.parquet");
        std::fs::write(file, "b").unwrap();
        let name = Path::new("team/data:v1");
        assert_eq!(split(&[file, file, name], None), Ok((2, "team/data:v1".to_owned())));
        for bad in [&[file.as_path()][..], &[file, file], &[file, folder.path()], &[file, Path::new("-")]] {
            assert!(split(bad, None).unwrap_err().contains("write a repository's name"), "{bad:?}");
        }
        assert!(split(&[name], None).unwrap_err().contains("what goes to team/data:v1"));
        assert!(split(&[file, Path::new("*.parquet")], None).unwrap_err().contains("names no repository"));
    }

    #[test]
    fn a_name_by_option_makes_files_of_all_operands() {
        let file = Path::new("src");
        assert_eq!(split(&[file, file], Some("src")), Ok((2, "src".to_owned())));
    }
}
