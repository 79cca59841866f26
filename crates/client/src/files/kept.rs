//! Small files that the client remembers things in, for their owner's eyes alone.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use overside_protocol::digest::Algorithm;
use overside_protocol::hash::Hasher;

/// No server keeps an upload for so long.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24 * 30);
/// Digits of a file's name: enough that no two uploads share one by chance.
const NAME_DIGITS: usize = 32;

/// The file in which is kept what is known by this key.
pub(crate) fn key_file(folder: &Path, key: &str) -> PathBuf {
    let name = Hasher::digest(Algorithm::Sha256, key.as_bytes()).hex();
    folder.join(format!("{}.json", &name[..NAME_DIGITS]))
}

/// Writes a file whole or not at all, for its owner's eyes, and makes its folder.
pub(crate) fn write_private(path: &Path, text: &[u8]) -> std::io::Result<()> {
    private_folder(path.parent().unwrap_or(Path::new(".")))?;
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = private(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(unix)]
fn private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn private_folder(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(unix)]
fn private(path: &Path) -> std::io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private(path: &Path) -> std::io::Result<fs::File> {
    fs::File::create(path)
}

/// `<digits>.json`, or what was to become one.
fn is_state(name: &str) -> bool {
    let (digits, rest) = name.split_once('.').unwrap_or_default();
    let is_key = digits.len() == NAME_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_key && (rest == "json" || rest.split('.').next_back() == Some("tmp"))
}

pub(crate) fn forget_old(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = age.and_then(|modified| modified.elapsed().ok());
        // Whoever names a folder of their own finds their other files in it untouched.
        let is_ours = entry.file_name().to_str().is_some_and(is_state);
        if is_ours && age.is_some_and(|age| age > FORGOTTEN_AFTER) {
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
