//! Small files with the client's own state, such as uploads under way. Only their owner can read them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use overside_protocol::digest::Algorithm;
use overside_protocol::hash::Hasher;

/// Files that nobody has written to for so long are removed: no server keeps an upload that long.
const REMOVED_AFTER: Duration = Duration::from_hours(24 * 30);
/// Digits of a file's name: enough that no two uploads share one by chance.
const NAME_DIGITS: usize = 32;

/// The path of the file that belongs to a key, such as a digest.
pub(crate) fn path_of(folder: &Path, key: &str) -> PathBuf {
    let name = Hasher::digest(Algorithm::Sha256, key.as_bytes()).hex();
    folder.join(format!("{}.json", &name[..NAME_DIGITS]))
}

/// Writes a file that only its owner can read, whole or not at all, and creates its folder. Blocks.
pub(crate) fn write_private(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    // By this name `remove_old` knows what a crash leaves of it.
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(".");
    let mut file = tempfile::Builder::new().prefix(&name).suffix(".tmp").tempfile_in(folder)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|failed| failed.error)
}

/// Whether a file is one of these by its name: `<digits>.json`, or the temporary file of one.
fn is_state(name: &str) -> bool {
    let (digits, rest) = name.split_once('.').unwrap_or_default();
    let is_key = digits.len() == NAME_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_key && (rest == "json" || rest.split('.').next_back() == Some("tmp"))
}

/// Removes state files that nobody has written to for a month.
pub(crate) fn remove_old(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = age.and_then(|modified| modified.elapsed().ok());
        // Whoever names a folder of their own finds their other files in it untouched.
        let is_ours = entry.file_name().to_str().is_some_and(is_state);
        if is_ours && age.is_some_and(|age| age > REMOVED_AFTER) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_ours_are_forgotten() {
        let ours = format!("{}.json", "0".repeat(NAME_DIGITS));
        assert!(is_state(&ours) && is_state(&ours.replace("json", "17.tmp")));
        for other in ["package.json", "a.tmp", ".json", "", &ours.replace('0', "x"), &format!("{ours}.bak")] {
            assert!(!is_state(other), "{other}");
        }
    }
}
