//! Reads the entries of a tar, one after the other (POSIX.1-2001 pax and ustar, GNU's long names).
//!
//! Read here rather than by `tar::Archive`: its extended headers have no limit, and to it an archive that ends
//! early is one that ends.

use std::io::{self, Read};
use std::path::Path;

use tar::Header;

use super::ArchiveError;
use super::name;
use super::tar_reader::TarReader;
use crate::error::limits::MAX_EXTENSION_SIZE;
use crate::files::source::fill;

/// Unit of the format, in bytes.
pub(super) const BLOCK: u64 = 512;
/// Where a header has the letter of its type.
const TYPE_FLAG: usize = 156;

pub(super) struct Entry {
    /// None for what nothing can refer to: names that lead outside, or are no text.
    pub(super) name: Option<String>,
    pub(super) kind: Kind,
    /// Where its content begins.
    pub(super) offset: u64,
    pub(super) size: u64,
}

pub(super) enum Kind {
    File,
    /// From the archive's root.
    HardLink(String),
    /// From its own folder.
    SymbolicLink(String),
    /// A folder, a device.
    Other,
}

/// What a tar's reader finds where it stands at a header.
pub(super) enum Next {
    Entry(Entry),
    End,
    /// The bytes end, and nothing had said that they would.
    EndOfBytes,
}

/// What extended headers say of the entry behind them.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

/// The next entry. The reader stands at its content then.
pub(super) fn next(tar: &mut TarReader, path: &Path) -> Result<Next, ArchiveError> {
    let mut extension = Extension::default();
    loop {
        let at = tar.position();
        let Some(header) = read_header(tar, path)? else { return Ok(Next::EndOfBytes) };
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(Next::End);
        }
        check_sum(&header, at, path)?;
        let damaged = |what| ArchiveError::Header { at, what };
        let size = header.entry_size().map_err(|_| damaged("its size is no number"))?;
        match bytes[TYPE_FLAG] {
            b'x' => extension.read_pax(&content(tar, size, path)?).ok_or_else(|| damaged("a pax header"))?,
            b'g' => drop(content(tar, size, path)?),
            b'L' => extension.name = Some(until_nul(content(tar, size, path)?)),
            b'K' => extension.link = Some(until_nul(content(tar, size, path)?)),
            flag => return Ok(Next::Entry(extension.entry(&header, flag, size, tar, path)?)),
        }
    }
}

fn read_header(tar: &mut TarReader, path: &Path) -> Result<Option<Header>, ArchiveError> {
    let mut header = Header::new_old();
    let is_first = tar.position() == 0;
    let read = fill(tar, header.as_mut_bytes()).map_err(|error| failed(error, path))?;
    match read as u64 {
        0 => Ok(None),
        BLOCK => Ok(Some(header)),
        _ if is_first => Err(ArchiveError::NotAnArchive(path.to_owned())),
        _ => Err(ArchiveError::Truncated(path.to_owned())),
    }
}

/// What an error in reading says of the archive.
pub(super) fn failed(error: io::Error, path: &Path) -> ArchiveError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ArchiveError::Truncated(path),
        // What decoders say of bytes that they cannot make sense of.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            ArchiveError::Damaged { path, source: error }
        }
        _ => ArchiveError::File { action: "read", path, source: error },
    }
}

/// The sum counts itself as eight spaces.
fn check_sum(header: &Header, at: u64, path: &Path) -> Result<(), ArchiveError> {
    let bytes = header.as_bytes();
    let others = bytes[..148].iter().chain(&bytes[156..]);
    let sum = others.map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    match header.cksum() {
        Ok(expected) if expected == sum => Ok(()),
        _ if at == 0 => Err(ArchiveError::NotAnArchive(path.to_owned())),
        _ => Err(ArchiveError::Header { at, what: "its checksum is wrong" }),
    }
}

/// Of an extended header, with the tar at the next one.
fn content(tar: &mut TarReader, size: u64, path: &Path) -> Result<Vec<u8>, ArchiveError> {
    if size > MAX_EXTENSION_SIZE {
        let name = "an extended header".to_owned();
        return Err(ArchiveError::TooLarge { name, size, limit: MAX_EXTENSION_SIZE });
    }
    let mut bytes = Vec::new();
    let padded = size.next_multiple_of(BLOCK);
    tar.take(padded).read_to_end(&mut bytes).map_err(|error| failed(error, path))?;
    if (bytes.len() as u64) < padded {
        return Err(ArchiveError::Truncated(path.to_owned()));
    }
    bytes.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    Ok(bytes)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = bytes.iter().position(|byte| *byte == 0);
    bytes.truncate(length.unwrap_or(bytes.len()));
    bytes
}

impl Extension {
    /// Records of `<length> <key>=<value>\n`, whose values may be anything. None if that is not what it is.
    fn read_pax(&mut self, mut records: &[u8]) -> Option<()> {
        while !records.is_empty() {
            let space = records.iter().position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
            let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.name = Some(value.to_owned()),
                b"linkpath" => self.link = Some(value.to_owned()),
                b"size" => self.size = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
                key if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => {}
            }
            records = &records[length..];
        }
        Some(())
    }

    fn entry(
        self,
        header: &Header,
        flag: u8,
        size: u64,
        tar: &TarReader,
        path: &Path,
    ) -> Result<Entry, ArchiveError> {
        let raw_name = self.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let raw_link = self.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        if flag == b'S' || self.sparse {
            return Err(ArchiveError::Sparse(String::from_utf8_lossy(&raw_name).into_owned()));
        }
        // Links and their like have a header and no content, whatever their size says.
        let size = if (b'1'..=b'6').contains(&flag) { 0 } else { self.size.unwrap_or(size) };
        if !tar.may_have(size) {
            return Err(ArchiveError::Truncated(path.to_owned()));
        }
        let target = || String::from_utf8_lossy(raw_link.as_deref().unwrap_or_default()).into_owned();
        let kind = match flag {
            // A folder, to writers from before there was a letter for one.
            0 if raw_name.ends_with(b"/") => Kind::Other,
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink(target()),
            b'2' => Kind::SymbolicLink(target()),
            _ => Kind::Other,
        };
        let name = std::str::from_utf8(&raw_name).ok().and_then(name::inside);
        Ok(Entry { name, kind, offset: tar.position(), size })
    }
}
