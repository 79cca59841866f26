//! What is known of one part: `parts/<number>`, a line that is written in place and locked while it is read
//! and written. A line that a crash cut short is one that says nothing.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use super::Result;
use super::directory::{UploadDirectory, missing, writable};
use super::lock::{Access, wait_for};
use crate::domain::part::PartNumber;
use crate::storage::StorageError;

/// What a marker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Marker {
    /// Nothing yet, or nothing any more.
    Empty,
    /// Being sent by the request that will give it this ETag.
    Receiving {
        etag: String,
    },
    Received {
        offset: u64,
        size: u64,
        etag: String,
    },
}

impl Marker {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.strip_suffix('\n')?.split(' ');
        let marker = match fields.next()? {
            "receiving" => Self::Receiving { etag: fields.next()?.to_owned() },
            "received" => Self::Received {
                offset: fields.next()?.parse().ok()?,
                size: fields.next()?.parse().ok()?,
                etag: fields.next()?.to_owned(),
            },
            _ => return None,
        };
        fields.next().is_none().then_some(marker)
    }

    fn line(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Receiving { etag } => format!("receiving {etag}\n"),
            Self::Received { offset, size, etag } => format!("received {offset} {size} {etag}\n"),
        }
    }

    /// Reads a marker without locking it: one that is being written reads as empty.
    pub fn read(directory: &UploadDirectory, number: PartNumber) -> Result<Self> {
        match fs::read(directory.part(number)) {
            Ok(line) => Ok(std::str::from_utf8(&line).ok().and_then(Self::parse).unwrap_or(Self::Empty)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::Empty),
            Err(error) => Err(StorageError::unavailable("read a part's marker")(error)),
        }
    }
}

/// A part's marker, held exclusively until dropped.
#[derive(Debug)]
pub(super) struct LockedMarker {
    file: File,
    pub marker: Marker,
}

impl LockedMarker {
    /// Opens a part's marker, making it where it is missing.
    pub fn open(directory: &UploadDirectory, number: PartNumber) -> Result<Self> {
        let file = writable(true)
            .create(true)
            .open(directory.part(number))
            .map_err(missing(StorageError::UploadNotFound, "open a part's marker"))?;
        wait_for(&file, Access::Exclusive)?;
        let marker = Marker::read(directory, number)?;
        Ok(Self { file, marker })
    }

    /// Writes what the marker says from now on.
    pub fn write(&mut self, marker: Marker) -> Result<()> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.write_all_at(marker.line().as_bytes(), 0))
            .map_err(StorageError::unavailable("write a part's marker"))?;
        self.marker = marker;
        Ok(())
    }

    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(StorageError::unavailable("sync a part's marker"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_marker_cut_short_anywhere_says_nothing(offset: u64, size: u64, cut: prop::sample::Index) {
            let marker = Marker::Received { offset, size, etag: "\"e\"".to_owned() };
            let line = marker.line();
            prop_assert_eq!(Marker::parse(&line[..cut.index(line.len())]), None);
            prop_assert_eq!(Marker::parse(&line), Some(marker));
        }

        #[test]
        fn reading_any_marker_never_panics(line in ".{0,60}\n?") {
            Marker::parse(&line);
        }
    }
}
