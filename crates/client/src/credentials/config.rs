//! Reads and changes Docker's `config.json`, and reads podman's `auth.json`, whose `auths` are the same.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::entry::{self, Entry};
use super::{Credential, CredentialsError, Result, canonical};
use crate::files::state_file::write_private;

pub(super) type Object = serde_json::Map<String, Value>;

const AUTHS: &str = "auths";

/// One file, read.
#[derive(Debug)]
pub(super) struct Config {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Content {
    // `null` is what Go writes for a map that nobody has made.
    auths: Option<BTreeMap<String, Entry>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

impl Config {
    /// None where there is no file.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let Some(text) = read(path)? else { return Ok(None) };
        let content = serde_json::from_slice(&text);
        let content = content.map_err(|error| CredentialsError::malformed(path, &error))?;
        Ok(Some(Self { path: path.to_owned(), content }))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the program that keeps this registry's credential.
    pub fn helper(&self, registry: &str) -> Option<&str> {
        let helpers = self.content.cred_helpers.iter().flatten();
        let own = helpers
            .filter(|(key, _)| entry::rank(key, registry, None).is_some())
            .max_by_key(|(key, _)| key.as_str() == registry)
            .map(|(_, name)| name);
        // An empty name is how one registry is kept out of `credsStore`.
        own.or(self.content.creds_store.as_ref()).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// What the file itself holds.
    pub fn find(&self, registry: &str, repository: Option<&str>) -> Result<Option<Credential>> {
        let fitting = self.content.auths.iter().flatten().filter_map(|(key, entry)| {
            let rank = entry::rank(key, registry, repository)?;
            Some(((rank, canonical(key) == canonical(registry)), key, entry))
        });
        let mut fitting: Vec<_> = fitting.collect();
        fitting.sort_by_key(|(closeness, ..)| std::cmp::Reverse(*closeness));
        for (_, key, entry) in fitting {
            let credential = entry.credential().map_err(|entry::InvalidEntry| CredentialsError::Entry {
                path: self.path.clone(),
                key: key.clone(),
            })?;
            if credential.is_some() {
                return Ok(credential);
            }
        }
        Ok(None)
    }
}

/// Changes `auths` and leaves everything else in the file as it is; false where there was nothing to change.
/// Blocks.
pub(super) fn change(path: &Path, change: impl FnOnce(&mut Object) -> bool) -> Result<bool> {
    // The file may be a link into somebody's collection of settings: what it leads to is replaced, not the link.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let text = read(path)?.unwrap_or_else(|| b"{}".to_vec());
    let malformed = |error| CredentialsError::malformed(path, &error);
    let mut content: Object = serde_json::from_slice(&text).map_err(malformed)?;
    let auths = content.entry(AUTHS).or_insert(Value::Null);
    if auths.is_null() {
        *auths = Value::Object(Object::new());
    }
    let is_changed = match auths {
        Value::Object(auths) => change(auths),
        _ => return Err(CredentialsError::Malformed { path: path.clone(), line: 1, column: 1 }),
    };
    if is_changed {
        write(path, &content)?;
    }
    Ok(is_changed)
}

/// An empty file counts as none, as with Docker.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(text) => Ok((!text.trim_ascii().is_empty()).then_some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(CredentialsError::file("read", path)(error)),
    }
}

/// A reader never sees half of it.
fn write(path: &Path, content: &Object) -> Result<()> {
    let mut text = Vec::new();
    // Tabs, as Docker writes them.
    let tabs = PrettyFormatter::with_indent(b"\t");
    let written = content.serialize(&mut Serializer::with_formatter(&mut text, tabs));
    text.push(b'\n');
    let written = written.map_err(std::io::Error::from).and_then(|()| write_private(path, &text));
    written.map_err(CredentialsError::file("write", path))
}
