//! The files of an archive, whatever it is: a folder, a tar, or a tar that is packed as a whole.

use std::collections::HashMap;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use overside_protocol::digest::{Algorithm, Digest};
use overside_protocol::manifest::MAX_MANIFEST_SIZE;

use super::ArchiveError;
use super::compression::{Compression, MAX_MARK};
use super::examine::{Examined, READ_SIZE, Watch, examine, hash};
use super::header::{self, BLOCK, Kind, Next};
use super::name;
use super::spool::Packed;
use super::table::{DuplicateFile, Section, Table};
use super::tar_reader::TarReader;
use crate::error::limits::MAX_KEPT_BYTES;
use crate::files::source::{FileSource, fill};
use crate::progress::Stage;

/// One file, and where its bytes are.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Its own, not that of a link to it; no two members share one.
    pub(super) name: String,
    pub(super) size: u64,
    /// Where it comes in the archive; nothing to a folder.
    pub(super) order: u64,
    pub(super) place: MemberLocation,
}

#[derive(Debug, Clone)]
pub(super) enum MemberLocation {
    Plain(FileSource),
    /// In a tar that is packed as a whole.
    Packed(Section),
}

#[derive(Debug)]
pub(super) struct Contents {
    pub(super) path: PathBuf,
    form: Form,
    /// The tar ends without saying so. Whatever is missing then is what was cut off.
    lacks_end: bool,
}

#[derive(Debug)]
enum Form {
    Folder,
    Tar { source: FileSource, table: Table },
    Packed { packed: Packed, table: Table, read: ExaminedTar },
}

/// The result of reading through a packed tar once.
#[derive(Debug, Default)]
struct ExaminedTar {
    examined: HashMap<String, Examined>,
    /// Content that may be JSON.
    kept: HashMap<String, Bytes>,
    kept_bytes: usize,
}

impl Contents {
    /// Lists the files of an archive. A packed tar is read through and hashed, anything else is not.
    pub(super) fn open(path: &Path, watch: &Watch) -> Result<Self, ArchiveError> {
        let metadata = std::fs::metadata(path).map_err(ArchiveError::file("read", path))?;
        let with = |form, lacks_end| Self { path: path.to_owned(), form, lacks_end };
        if metadata.is_dir() {
            return Ok(with(Form::Folder, false));
        }
        let source = FileSource::of(path, &metadata);
        let source = source.ok_or_else(|| ArchiveError::NotAFile(path.to_owned()))?;
        if source.size() == 0 {
            return Err(ArchiveError::Empty(path.to_owned()));
        }
        let mut start = [0; MAX_MARK];
        let mut file = source.read_blocking().map_err(ArchiveError::file("open", path))?;
        let read = fill(&mut file, &mut start).map_err(ArchiveError::file("read", path))?;
        let compression = Compression::of(&start[..read]);
        if compression.is_some() {
            watch.progress.started(Stage::Hashing, source.size(), 0);
        }
        let tar = TarReader::open(path, compression, watch).map_err(ArchiveError::file("open", path))?;
        let mut scan = Scan { tar, path, table: Table::default(), duplicates: Vec::new() };
        let Some(compression) = compression else {
            let lacks_end = scan.run(|_, _| Ok(()))?;
            for duplicate in &scan.duplicates {
                duplicate.compare(&source, &watch.quiet(), path)?;
            }
            return Ok(with(Form::Tar { source, table: scan.table }, lacks_end));
        };
        let mut read = ExaminedTar::default();
        let lacks_end = scan.run(|tar, member| read.take(tar, member, path))?;
        let table = scan.table;
        Ok(with(Form::Packed { packed: Packed::new(source, compression), table, read }, lacks_end))
    }

    pub(super) const fn is_packed(&self) -> bool {
        matches!(self.form, Form::Packed { .. })
    }

    pub(super) const fn is_folder(&self) -> bool {
        matches!(self.form, Form::Folder)
    }

    /// The file of this name, which is one that [`name::inside`] gave.
    pub(super) fn find(&self, name: &str) -> Result<Option<Member>, ArchiveError> {
        let (Form::Tar { table, .. } | Form::Packed { table, .. }) = &self.form else {
            return self.find_in_folder(name);
        };
        let Some((name, section)) = table.find(name)? else { return Ok(None) };
        let place = match &self.form {
            Form::Tar { source, .. } => {
                source.section(section.offset, section.size).map(MemberLocation::Plain)
            }
            _ => Some(MemberLocation::Packed(section)),
        };
        let place = place.ok_or_else(|| ArchiveError::Truncated(self.path.clone()))?;
        Ok(Some(Member { name, size: section.size, order: section.offset, place }))
    }

    fn find_in_folder(&self, name: &str) -> Result<Option<Member>, ArchiveError> {
        let path = self.path.join(name);
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ArchiveError::file("read", &path)(error)),
        };
        let source = FileSource::of(&path, &metadata).ok_or(ArchiveError::NotAFile(path))?;
        Ok(Some(Member {
            name: name.to_owned(),
            size: source.size(),
            order: 0,
            place: MemberLocation::Plain(source),
        }))
    }

    pub(super) const fn lacks_end(&self) -> bool {
        self.lacks_end
    }

    /// That something is missing, or why: the end of the archive is.
    pub(super) fn or_truncated(&self, missing: ArchiveError) -> ArchiveError {
        if self.lacks_end { ArchiveError::Truncated(self.path.clone()) } else { missing }
    }

    /// All bytes of a small file.
    pub(super) fn read(&self, member: &Member, limit: u64, watch: &Watch) -> Result<Bytes, ArchiveError> {
        let (name, size) = (member.name.clone(), member.size);
        if size > limit {
            return Err(ArchiveError::TooLarge { name, size, limit });
        }
        if let Form::Packed { read, .. } = &self.form
            && let Some(kept) = read.kept.get(&name)
        {
            return Ok(kept.clone());
        }
        let mut bytes = Vec::new();
        self.with_reader(member, &watch.quiet(), |reader| reader.read_to_end(&mut bytes).map(drop))?;
        if bytes.len() as u64 != size {
            return Err(ArchiveError::Changed(self.path.clone()));
        }
        Ok(bytes.into())
    }

    /// Hashes a file, unless that is done already.
    pub(super) fn examine(&self, member: &Member, watch: &Watch) -> Result<Examined, ArchiveError> {
        if let Form::Packed { read, .. } = &self.form
            && let Some(examined) = read.examined.get(&member.name)
        {
            return Ok(examined.clone());
        }
        let examined = self.with_reader(member, watch, |reader| examine(reader, algorithm(&member.name)))?;
        if examined.size != member.size {
            return Err(ArchiveError::Changed(self.path.clone()));
        }
        Ok(examined)
    }

    /// Reads a file once more for its digest by another algorithm, or that of what is in it.
    pub(super) fn hash_inside(
        &self,
        member: &Member,
        compression: Option<Compression>,
        algorithm: Algorithm,
        watch: &Watch,
    ) -> Result<Digest, ArchiveError> {
        self.with_reader(member, &watch.quiet(), |reader| match compression {
            Some(compression) => {
                hash(compression.unpack(BufReader::with_capacity(READ_SIZE, reader)), algorithm)
            }
            None => hash(reader, algorithm),
        })
    }

    /// What a packed archive is unpacked with.
    pub(super) const fn packed(&self) -> Option<&Packed> {
        match &self.form {
            Form::Packed { packed, .. } => Some(packed),
            _ => None,
        }
    }

    fn with_reader<T>(
        &self,
        member: &Member,
        watch: &Watch,
        read: impl FnOnce(&mut (dyn Read + Send)) -> io::Result<T>,
    ) -> Result<T, ArchiveError> {
        match (&member.place, &self.form) {
            (MemberLocation::Packed(section), Form::Packed { packed, .. }) => {
                packed.read(*section, watch, read)
            }
            (MemberLocation::Packed(_), _) => Err(ArchiveError::Changed(self.path.clone())),
            (MemberLocation::Plain(source), _) => {
                let reader = source.read_blocking().map_err(ArchiveError::file("open", source.path()))?;
                read(&mut watch.over(reader)).map_err(ArchiveError::file("read", source.path()))
            }
        }
    }
}

/// A blob is hashed by the algorithm that its name tells.
fn algorithm(name: &str) -> Algorithm {
    name::promised(name).as_ref().map(Digest::algorithm).unwrap_or_default()
}

/// Going through a tar from its first entry to its last.
struct Scan<'a> {
    tar: TarReader,
    path: &'a Path,
    table: Table,
    duplicates: Vec<DuplicateFile>,
}

impl Scan<'_> {
    /// Gives every file to `visit`; tells whether the end was missing.
    fn run(
        &mut self,
        mut visit: impl FnMut(&mut TarReader, &ScannedFile) -> Result<(), ArchiveError>,
    ) -> Result<bool, ArchiveError> {
        loop {
            let entry = match header::next(&mut self.tar, self.path)? {
                Next::Entry(entry) => entry,
                Next::End => return Ok(false),
                Next::EndOfBytes if self.table.is_empty() => {
                    return Err(ArchiveError::NotAnArchive(self.path.to_owned()));
                }
                Next::EndOfBytes => return Ok(true),
            };
            let end =
                entry.offset.checked_add(entry.size).and_then(|end| end.checked_next_multiple_of(BLOCK));
            let end = end.ok_or(ArchiveError::Header { at: entry.offset, what: "its size is too large" })?;
            let duplicate = self.table.add(&entry)?;
            if let (Kind::File, Some(name)) = (entry.kind, entry.name) {
                visit(
                    &mut self.tar,
                    &ScannedFile { name, size: entry.size, is_duplicate: duplicate.is_some() },
                )?;
            }
            self.duplicates.extend(duplicate);
            self.tar.skip_to(end).map_err(|error| header::failed(error, self.path))?;
        }
    }
}

/// The file that the reader of the tar stands at.
struct ScannedFile {
    name: String,
    size: u64,
    is_duplicate: bool,
}

impl ExaminedTar {
    fn take(&mut self, tar: &mut TarReader, file: &ScannedFile, path: &Path) -> Result<(), ArchiveError> {
        let ScannedFile { name, size, is_duplicate } = file;
        let mut content = tar.take(*size);
        let mut small = Bytes::new();
        let failed = |error| header::failed(error, path);
        let examined = if *size <= MAX_MANIFEST_SIZE as u64 {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).map_err(failed)?;
            small = bytes.into();
            examine(&*small, algorithm(name)).map_err(failed)?
        } else {
            examine(content, algorithm(name)).map_err(failed)?
        };
        if examined.size != *size {
            return Err(ArchiveError::Truncated(path.to_owned()));
        }
        if *is_duplicate {
            let is_same = self.examined.get(name).is_some_and(|first| first.digest == examined.digest);
            return if is_same { Ok(()) } else { Err(ArchiveError::DuplicateEntry(name.clone())) };
        }
        let may_be_json = matches!(small.trim_ascii_start().first(), Some(b'{' | b'['));
        if may_be_json && self.kept_bytes + small.len() <= MAX_KEPT_BYTES {
            self.kept_bytes += small.len();
            self.kept.insert(name.clone(), small);
        }
        self.examined.insert(name.clone(), examined);
        Ok(())
    }
}

impl DuplicateFile {
    fn compare(&self, source: &FileSource, watch: &Watch, path: &Path) -> Result<(), ArchiveError> {
        let digest = |section: Section| {
            let part = source.section(section.offset, section.size);
            let part = part.ok_or_else(|| ArchiveError::Truncated(path.to_owned()))?;
            let reader = part.read_blocking().map_err(ArchiveError::file("open", path))?;
            hash(watch.over(reader), Algorithm::Sha256).map_err(ArchiveError::file("read", path))
        };
        let is_same = digest(self.first)? == digest(self.second)?;
        if is_same { Ok(()) } else { Err(ArchiveError::DuplicateEntry(self.name.clone())) }
    }
}
