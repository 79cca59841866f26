//! Compresses a finished tar.

use std::fs::File;
use std::io;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::NamedTempFile;

use crate::files::partial;
use crate::files::source::blocking;
use crate::{Error, Result};

/// Compresses a tar with gzip into `target`, which gets its name only once it is whole.
///
/// # Errors
/// [`Error::File`] if the tar cannot be read or the target not be written.
pub async fn pack(tar: &Path, target: &Path) -> Result<()> {
    let (tar, owned) = (tar.to_owned(), target.to_owned());
    blocking("write", target, move || pack_blocking(&tar, &owned).map_err(Error::file("write", &owned))).await
}

fn pack_blocking(tar: &Path, target: &Path) -> io::Result<()> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // No name and no time in it: the same image is packed to the same bytes.
    let mut packer = GzEncoder::new(NamedTempFile::new_in(folder)?, Compression::default());
    io::copy(&mut File::open(tar)?, &mut packer)?;
    let whole = packer.finish()?;
    partial::share(whole.as_file())?;
    whole.as_file().sync_all()?;
    whole.persist(target).map(|_| ()).map_err(|failed| failed.error)
}
