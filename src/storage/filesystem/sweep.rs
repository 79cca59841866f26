//! What lies below the temporary prefix, for the cleaner to judge.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::directory::remove_file;
use super::discard::{discard, remove_directory};
use super::{Filesystem, Result, blocking};
use crate::storage::{StorageError, TempCursor, TempEntry, TempKind, TempListing, TempOwner, TempPage, key};

/// As S3's listings.
const PAGE_SIZE: usize = 1000;

impl Filesystem {
    /// One entry for each upload's directory, and for whatever else lies beside them.
    pub(in crate::storage) async fn temp_entries(
        &self,
        listing: TempListing,
        cursor: Option<TempCursor>,
    ) -> Result<TempPage> {
        let after = match (listing, cursor) {
            (TempListing::Objects, None) => String::new(),
            (TempListing::Objects, Some(TempCursor::Objects(name))) => name,
            // Multipart uploads are directories too, and were listed with them.
            _ => return Ok(TempPage { entries: Vec::new(), next: None }),
        };
        let root = Arc::clone(&self.root);
        blocking(move || page(&root, &after).map_err(StorageError::unavailable("list what is temporary")))
            .await
    }

    pub(in crate::storage) async fn remove_temp(&self, entry: &TempEntry) -> Result<()> {
        let TempKind::Object { key } = &entry.kind else { return Ok(()) };
        let (root, key) = (Arc::clone(&self.root), key.clone());
        blocking(move || remove(&root, &key).map_err(StorageError::unavailable("remove what is temporary")))
            .await
    }
}

/// The first names after `after`, in order. Goes through the whole directory for every page, which keeps
/// memory constant; names sort by age, and the cleaner keeps them few.
fn page(root: &Path, after: &str) -> io::Result<TempPage> {
    let temp = root.join(key::TEMP_PREFIX);
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&temp)? {
        // We write no name that is not UTF-8; one that somebody else put here is theirs to remove.
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if name.as_str() > after {
            names.insert(name);
        }
        if names.len() > PAGE_SIZE + 1 {
            names.pop_last();
        }
    }
    let next = (names.len() > PAGE_SIZE).then(|| {
        names.pop_last();
        names.last().cloned().map(TempCursor::Objects)
    });
    let mut entries = Vec::with_capacity(names.len());
    for name in names {
        let Some(modified) = last_written(&temp.join(&name))? else { continue };
        let key = format!("{}{name}", key::TEMP_PREFIX);
        let owner = key::temp_owner(&key).map_or(TempOwner::Nobody, TempOwner::Upload);
        entries.push(TempEntry { owner, kind: TempKind::Object { key }, modified: modified.into() });
    }
    Ok(TempPage { entries, next: next.flatten() })
}

/// When an entry, or anything directly in it, was last written; nothing if it is gone meanwhile.
fn last_written(path: &Path) -> io::Result<Option<SystemTime>> {
    let gone = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if gone(&error) => return Ok(None),
        metadata => metadata?,
    };
    let mut newest = metadata.modified()?;
    if metadata.is_dir() {
        let children = match fs::read_dir(path) {
            Err(error) if gone(&error) => return Ok(None),
            children => children?,
        };
        for child in children {
            match child?.metadata() {
                Err(error) if gone(&error) => {}
                metadata => newest = newest.max(metadata?.modified()?),
            }
        }
    }
    Ok(Some(newest))
}

/// Removes what has this key. Only what lies directly below the temporary prefix has one here: a key that
/// climbs or descends is none that a listing gave out.
fn remove(root: &Path, key: &str) -> io::Result<()> {
    let Some(name) = key.strip_prefix(key::TEMP_PREFIX) else { return Err(ErrorKind::InvalidInput.into()) };
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        return Err(ErrorKind::InvalidInput.into());
    }
    let path = root.join(key::TEMP_PREFIX).join(name);
    let is_directory = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        metadata => metadata?.is_dir(),
    };
    match key::temp_owner(key) {
        _ if !is_directory => remove_file(&path),
        Some(upload) => discard(root, upload),
        None => remove_directory(&path),
    }
}
