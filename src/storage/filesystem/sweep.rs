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
use crate::storage::temporary::NameCursor;
use crate::storage::{StorageError, TempCursor, TempEntry, TempKind, TempListing, TempOwner, TempPage, key};

/// As S3's listings.
const PAGE_SIZE: usize = 1000;
/// Names kept from one reading of the whole directory, some megabytes of them: it is read again for those after them,
/// and not for every page, which would take a million open uploads a thousand readings of a million names.
const WINDOW: usize = 64 * 1024;

impl Filesystem {
    /// One entry for each upload's directory, and for whatever else lies beside them.
    pub(in crate::storage) async fn temp_entries(
        &self,
        listing: TempListing,
        cursor: Option<TempCursor>,
    ) -> Result<TempPage> {
        let cursor = match (listing, cursor) {
            (TempListing::Objects, None) => NameCursor::default(),
            (TempListing::Objects, Some(TempCursor::Names(cursor))) => cursor,
            // Multipart uploads are directories too, and were listed with them.
            _ => return Ok(TempPage { entries: Vec::new(), next: None }),
        };
        let root = Arc::clone(&self.root);
        let page = move || page(&root, cursor, PAGE_SIZE, WINDOW);
        blocking(move || page().map_err(StorageError::unavailable("list what is temporary"))).await
    }

    pub(in crate::storage) async fn remove_temp(&self, entry: &TempEntry) -> Result<()> {
        let TempKind::Object { key } = &entry.kind else { return Ok(()) };
        let (root, key) = (Arc::clone(&self.root), key.clone());
        blocking(move || remove(&root, &key).map_err(StorageError::unavailable("remove what is temporary")))
            .await
    }
}

fn page(root: &Path, mut cursor: NameCursor, page_size: usize, window: usize) -> io::Result<TempPage> {
    if cursor.left.is_empty() {
        cursor.left = names_after(root, cursor.more_after.as_deref().unwrap_or_default(), window)?.into();
        cursor.more_after = cursor.left.back().filter(|_| cursor.left.len() == window).cloned();
    }
    let left = cursor.left.split_off(cursor.left.len().min(page_size));
    let names = std::mem::replace(&mut cursor.left, left);
    let is_last = cursor.left.is_empty() && cursor.more_after.is_none();
    let next = (!is_last).then_some(TempCursor::Names(cursor));
    let temp = root.join(key::TEMP_PREFIX);
    let mut entries = Vec::with_capacity(names.len());
    for name in names {
        let Some(modified) = last_written(&temp.join(&name))? else { continue };
        let key = format!("{}{name}", key::TEMP_PREFIX);
        let owner = key::temp_owner(&key).map_or(TempOwner::Nobody, TempOwner::Upload);
        entries.push(TempEntry { owner, kind: TempKind::Object { key }, modified: modified.into() });
    }
    Ok(TempPage { entries, next })
}

/// The first names after `after`, in order, at most `most`. Names sort by age.
fn names_after(root: &Path, after: &str, most: usize) -> io::Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(root.join(key::TEMP_PREFIX))? {
        // We write no name that is not UTF-8; one that somebody else put here is theirs to remove.
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if name.as_str() > after {
            names.insert(name);
        }
        if names.len() > most {
            names.pop_last();
        }
    }
    Ok(names.into_iter().collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_listed_once_however_pages_and_windows_fall() -> io::Result<()> {
        let root = tempfile::tempdir()?;
        fs::create_dir(root.path().join("temp"))?;
        for count in 0..=9 {
            for (page_size, window) in [(1, 1), (2, 4), (2, 3), (3, 4), (3, 8), (9, 9), (20, 20)] {
                let (mut names, mut cursor, mut pages) = (Vec::new(), NameCursor::default(), 0);
                loop {
                    let found = page(root.path(), cursor, page_size, window)?;
                    pages += 1;
                    names.extend(found.entries.into_iter().map(|entry| format!("{:?}", entry.kind)));
                    match found.next {
                        Some(TempCursor::Names(next)) => cursor = next,
                        _ => break,
                    }
                }
                assert_eq!(names.len(), count, "{names:?}");
                assert!(names.is_sorted_by(|one, other| one < other), "{names:?}");
                assert!(pages <= count / page_size + count / window + 1, "{pages} pages of {count}");
            }
            fs::write(root.path().join(format!("temp/{count}")), "")?;
        }
        Ok(())
    }
}
