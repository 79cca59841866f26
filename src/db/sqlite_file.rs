//! The files of an SQLite database: in them are the keys that URLs and tokens are signed with.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// Makes the database's file and folder where they are missing, and closes what is there to everybody but its owner,
/// whatever the umask. SQLite gives the log and its index the permissions of the database.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(folder)?;
    }
    File::options().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        match fs::metadata(&file) {
            Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
                match fs::set_permissions(&file, Permissions::from_mode(FILE_MODE)) {
                    // Another user's file, which that one shares with us.
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
                    closed => closed?,
                }
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
