//! Partial files: what is being written has another name until it is finished. They are opened so that nobody else's file
//! is written to, and only their owner can read them.
//!
//! Their names can be guessed. Whoever else may write to the folder could have put a link there, to have another file
//! overwritten, or a file of their own, to change it after it was verified.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// How often a name that keeps changing is looked at, before somebody is taken to change it on purpose.
const MAX_LOOKS: u32 = 100;

/// Opens a partial file to read and to write, and creates it if it does not exist. Follows no link.
pub(crate) fn open(path: &Path) -> Result<File> {
    for _ in 0..MAX_LOOKS {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            opened => return opened,
        }
        // Before it is opened: to open may be to do something, where it leads to no file.
        match std::fs::symlink_metadata(path) {
            Ok(there) if !there.is_file() => return Err(planted()),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match OpenOptions::new().read(true).write(true).open(path) {
            // Somebody has just given it its name.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(file) if is_at(&file, path) => {
                restrict(&file)?;
                return Ok(file);
            }
            Ok(_) => {}
        }
    }
    Err(planted())
}

/// Opens the file at `path` once more, if it is still the same file.
pub(crate) fn reopen(file: &File, path: &Path) -> Result<File> {
    let again = OpenOptions::new().read(true).write(true).open(path)?;
    if is_same(&again, file) && is_at(&again, path) { Ok(again) } else { Err(planted()) }
}

fn planted() -> Error {
    Error::other("it is no file of its own but a link; remove it if you do not know why")
}

/// Whether the open file is the one at `path`, and not another one that a link of that name leads to.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(opened), Ok(there)) => (opened.dev(), opened.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
pub(crate) fn is_at(_file: &File, path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|there| there.is_file())
}

#[cfg(unix)]
fn is_same(one: &File, other: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino())).ok();
    identity(one).is_some() && identity(one) == identity(other)
}

#[cfg(not(unix))]
fn is_same(_one: &File, _other: &File) -> bool {
    true
}

/// Lets only the owner read a file, which an earlier version may have left readable for everybody. Refuses a file with a
/// second name, which may be anybody's.
#[cfg(unix)]
fn restrict(file: &File) -> Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    if file.metadata()?.nlink() > 1 {
        return Err(planted());
    }
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn restrict(_file: &File) -> Result<()> {
    Ok(())
}

/// Gives a finished file the permissions that any new file of this user has.
#[cfg(unix)]
pub(crate) fn share(file: &File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // The mask belongs to the process, and a file that is made is all that tells it without changing it.
    let everybodys = std::fs::Permissions::from_mode(0o666);
    match tempfile::Builder::new().permissions(everybodys).tempfile() {
        Ok(made) => file.set_permissions(made.as_file().metadata()?.permissions()),
        // It stays its owner's alone.
        Err(_) => Ok(()),
    }
}

#[cfg(not(unix))]
pub(crate) fn share(_file: &File) -> Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn no_link_is_followed_and_none_is_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (partial, victim) = (folder.path().join("a.partial"), folder.path().join("victim"));
        symlink(&victim, &partial).unwrap();
        assert!(open(&partial).unwrap_err().to_string().contains("link"));
        assert!(!victim.exists(), "a link that leads nowhere makes no file");
        fs::write(&victim, "precious").unwrap();
        assert!(open(&partial).is_err());
        fs::remove_file(&partial).unwrap();
        fs::hard_link(&victim, &partial).unwrap();
        assert!(open(&partial).is_err(), "a second name of another file");
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        fs::remove_file(&partial).unwrap();
        fs::create_dir(&partial).unwrap();
        assert!(open(&partial).is_err());

        fs::remove_dir(&partial).unwrap();
        let file = open(&partial).unwrap();
        fs::remove_file(&partial).unwrap();
        symlink(&victim, &partial).unwrap();
        assert!(reopen(&file, &partial).is_err(), "put in its place meanwhile");
    }

    #[test]
    fn it_is_its_owners_alone_until_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let (partial, other) = (folder.path().join("a.partial"), folder.path().join("other"));
        fs::write(&other, "").unwrap();
        fs::write(&partial, "earlier").unwrap();
        let mut file = open(&partial).unwrap();
        file.write_all(b"EAR").unwrap();
        assert_eq!((mode(&partial), fs::read(&partial).unwrap()), (0o600, b"EARlier".to_vec()));
        share(&file).unwrap();
        assert_eq!(mode(&partial), mode(&other));
        fs::remove_file(&partial).unwrap();
        open(&partial).unwrap();
        assert_eq!(mode(&partial), 0o600);
    }
}
