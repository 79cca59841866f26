//! Writes a folder in the OCI image layout: blobs first, the index that names them last.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use overside_protocol::digest::Digest;
use overside_protocol::wire::Descriptor;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Bundle, documents};
use crate::archive::examine::{Watch, hash};
use crate::archive::oci::{INDEX, LAYOUT, REFERENCE_NAME, check_layout_file};
use crate::archive::{ArchiveError, json, name};
use crate::files::partial;
use crate::files::source::FileSource;
use crate::files::staged::{StagedFile, finish};
use crate::progress::Stage;
use crate::registry::manifest::Manifest;
use crate::{Error, Result};

/// What ends in this is a file on its way to its name.
const PARTIAL: &str = ".partial";

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    bundle: Bundle,
    missing: Vec<Descriptor>,
}

impl Folder {
    pub(super) fn create(path: &Path, mut bundle: Bundle, watch: &Watch) -> Result<Self> {
        fs::create_dir_all(path).map_err(Error::file("create", path))?;
        bundle.blobs.sort_by_key(|blob| blob.digest);
        bundle.blobs.dedup_by_key(|blob| blob.digest);
        let mut folder = Self { path: path.to_owned(), bundle, missing: Vec::new() };
        folder.check()?;
        folder.find_missing(watch)?;
        Ok(folder)
    }

    /// That this is a layout, or that it can become one.
    fn check(&self) -> Result<()> {
        let file = self.path.join(LAYOUT);
        match fs::read(&file) {
            Ok(bytes) => {
                check_layout_file(&bytes)?;
                self.read_index().map(drop)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                for entry in fs::read_dir(&self.path).map_err(Error::file("read", &self.path))? {
                    let entry = entry.map_err(Error::file("read", &self.path))?;
                    if !entry.file_name().as_encoded_bytes().ends_with(PARTIAL.as_bytes()) {
                        return Err(ArchiveError::NotALayout(self.path.clone()).into());
                    }
                }
                self.replace(LAYOUT, |_| Ok(documents::layout_file()))
            }
            Err(error) => Err(Error::file("read", &file)(error)),
        }
    }

    /// What is there counts when it has the digest that its name says.
    fn find_missing(&mut self, watch: &Watch) -> Result<()> {
        let mut there = Vec::new();
        for blob in &self.bundle.blobs {
            let path = self.blob_path(&blob.digest);
            let source = fs::metadata(&path).ok().and_then(|metadata| FileSource::of(&path, &metadata));
            match source.filter(|source| source.size() == blob.size) {
                Some(source) => there.push((blob, source)),
                None => self.missing.push(blob.clone()),
            }
        }
        if there.is_empty() {
            return Ok(());
        }
        watch.progress.started(Stage::Hashing, there.iter().map(|(_, source)| source.size()).sum(), 0);
        for (blob, source) in there {
            let reader = source.read_blocking().map_err(Error::file("open", source.path()))?;
            let digest = hash(watch.over(reader), blob.digest.algorithm());
            if digest.map_err(Error::file("read", source.path()))? != blob.digest {
                // Of no use to anybody, and by its name and size it would pass for the blob at the end.
                fs::remove_file(source.path()).map_err(Error::file("remove", source.path()))?;
                self.missing.push(blob.clone());
            }
        }
        Ok(())
    }

    pub(super) fn missing(&self) -> &[Descriptor] {
        &self.missing
    }

    pub(super) fn slot(&self, digest: &Digest, watch: &Watch) -> Result<StagedFile> {
        let blob = self.bundle.blobs.iter().find(|blob| blob.digest == *digest);
        let blob = blob.ok_or(ArchiveError::BlobUnknown(*digest))?;
        self.stage(blob, watch)
    }

    fn stage(&self, blob: &Descriptor, watch: &Watch) -> Result<StagedFile> {
        let path = self.blob_path(&blob.digest);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        }
        StagedFile::open(&path, blob.digest, blob.size, &watch.progress, &watch.stop)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path.join(name::of_blob(digest))
    }

    pub(super) fn finish(&self, watch: &Watch) -> Result<()> {
        for blob in &self.bundle.blobs {
            // What has this name was proven: by `publish`, or when it was found.
            let is_there =
                fs::metadata(self.blob_path(&blob.digest)).is_ok_and(|file| file.len() == blob.size);
            if !is_there {
                return Err(ArchiveError::Unfinished(blob.digest).into());
            }
        }
        for manifest in std::iter::once(&self.bundle.root).chain(&self.bundle.below) {
            self.write_manifest(manifest, watch)?;
        }
        let entry = documents::entry(&self.bundle.root, self.bundle.name.as_ref());
        self.replace(INDEX, |folder| {
            let mut index = folder.read_index()?;
            put(&mut index, entry);
            Ok(index.to_string().into_bytes())
        })
    }

    fn write_manifest(&self, manifest: &Manifest, watch: &Watch) -> Result<()> {
        let descriptor = &manifest.descriptor;
        let is_there =
            fs::read(self.blob_path(&descriptor.digest)).is_ok_and(|bytes| bytes == manifest.payload);
        if is_there {
            return Ok(());
        }
        let staged = self.stage(descriptor, watch)?;
        let (sender, chunks) = mpsc::channel(1);
        let known = usize::try_from(staged.length()).unwrap_or_default();
        // There is room for one, and the receiver is here.
        drop(sender.try_send(manifest.payload.slice(known.min(manifest.payload.len())..)));
        drop(sender);
        staged.write(chunks)?.publish()
    }

    /// The index as it is, with fields that we do not know; an empty one if there is none.
    fn read_index(&self) -> Result<Value> {
        let path = self.path.join(INDEX);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => documents::index(&[]),
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        let index: Value = json::object(INDEX, &bytes)?;
        if index["manifests"].is_array() {
            return Ok(index);
        }
        Err(ArchiveError::Shape { name: INDEX.to_owned(), expected: "index of images" }.into())
    }

    /// Replaces a small file at once. Whoever else does so waits, so that no entry of an index gets lost.
    fn replace(&self, name: &str, content: impl FnOnce(&Self) -> Result<Vec<u8>>) -> Result<()> {
        let (target, path) = (self.path.join(name), self.path.join(format!("{name}{PARTIAL}")));
        let mut file = loop {
            let file = partial::open(&path).map_err(Error::file("create", &path))?;
            file.lock().map_err(Error::file("lock", &path))?;
            if partial::is_at(&file, &path) {
                break file;
            }
        };
        let content = content(self)?;
        let written = file.set_len(0).and_then(|()| file.write_all(&content));
        written.map_err(Error::file("write", &path))?;
        finish(&file, &path, &target)
    }
}

/// Takes the place of the entry of that name, or else of one for the same manifest that has no name.
fn put(index: &mut Value, entry: Value) {
    let name = |entry: &Value| entry["annotations"][REFERENCE_NAME].clone();
    let Some(entries) = index["manifests"].as_array_mut() else { return };
    entries.retain(|other| {
        let is_replaced = match name(&entry) {
            Value::Null => name(other).is_null() && other["digest"] == entry["digest"],
            named => name(other) == named,
        };
        !is_replaced
    });
    entries.push(entry);
    if index["schemaVersion"].is_null() {
        index["schemaVersion"] = json!(2);
    }
}
