//! The entries of a tar by their names: files with their places, links with their targets.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use super::ArchiveError;
use super::header::{Entry, Kind};
use super::name;
use crate::error::limits::{MAX_ENTRIES, MAX_LINK_HOPS, MAX_NAME_LENGTH};

#[derive(Debug, Default)]
pub(super) struct Table {
    nodes: HashMap<String, Node>,
    entries: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    File(Section),
    HardLink(String),
    SymbolicLink(String),
}

/// Where a file's content is in the tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// A file with the name and the size of an earlier one. That is fine if its content is the same.
#[derive(Debug)]
pub(super) struct DuplicateFile {
    pub(super) name: String,
    pub(super) first: Section,
    pub(super) second: Section,
}

impl Table {
    /// Adds an entry. One that nothing can refer to is only counted.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<Option<DuplicateFile>, ArchiveError> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(ArchiveError::TooManyEntries);
        }
        let Some(name) = entry.name.as_ref().filter(|name| name.len() <= MAX_NAME_LENGTH) else {
            return Ok(None);
        };
        let node = match &entry.kind {
            Kind::File => Node::File(Section { offset: entry.offset, size: entry.size }),
            Kind::HardLink(target) => Node::HardLink(shortened(target)),
            Kind::SymbolicLink(target) => Node::SymbolicLink(shortened(target)),
            Kind::Other => return Ok(None),
        };
        match self.nodes.entry(name.clone()) {
            Slot::Vacant(slot) => {
                slot.insert(node);
                Ok(None)
            }
            Slot::Occupied(slot) => match (slot.get(), &node) {
                (Node::File(first), Node::File(second)) if first.size == second.size => {
                    Ok(Some(DuplicateFile { name: name.clone(), first: *first, second: *second }))
                }
                (Node::File(_), _) | (_, Node::File(_)) => Err(ArchiveError::DuplicateEntry(name.clone())),
                (first, second) if first == second => Ok(None),
                _ => Err(ArchiveError::DuplicateEntry(name.clone())),
            },
        }
    }

    /// The file that a name leads to, under its own name.
    pub(super) fn find(&self, name: &str) -> Result<Option<(String, Section)>, ArchiveError> {
        let Some(mut node) = self.nodes.get(name) else { return Ok(None) };
        let mut at = name.to_owned();
        for _ in 0..=MAX_LINK_HOPS {
            let (target, next) = match node {
                Node::File(section) => return Ok(Some((at, *section))),
                Node::HardLink(target) => (target, name::inside(target)),
                Node::SymbolicLink(target) => (target, name::follow(&at, target)),
            };
            let target = || target.clone();
            let next =
                next.ok_or_else(|| ArchiveError::LinkOutside { name: at.clone(), target: target() })?;
            let found = self.nodes.get(&next);
            node = found.ok_or_else(|| ArchiveError::LinkDangling { name: at.clone(), target: target() })?;
            at = next;
        }
        Err(ArchiveError::LinkLoop(name.to_owned()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }
}

/// A target that is too long to be a name here leads nowhere, shortened or not.
fn shortened(target: &str) -> String {
    let relative_at_most = 2 * MAX_NAME_LENGTH;
    target.chars().take(relative_at_most).collect()
}
