//! The parts that a store lists for an upload, compared with the file's own.
//!
//! A store may list a part that it does not have: versitygw lists one whose sender went away at its full size, padded
//! with zeros. The size says nothing then, but the `ETag` does where it is the part's MD5. That needs no memory of
//! earlier runs, so it holds on another machine too, and costs a fraction of the SHA-256 that the file was named by.
//! Not every store has such ETags: ours on files are random, and AWS's are opaque where a key of its own encrypts. So
//! the store shows first which kind it has: by a part of known bytes whose `ETag` it told.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use md5::{Digest as _, Md5};
use overside_protocol::part::{Part, PartNumber, PartPlan};
use overside_protocol::wire::ReceivedPart;

use super::content::Content;
use crate::files::source::{FileSource, blocking, each_block};
use crate::{Error, Result};

/// Parts hashed at a time. Two keep a disk and a core busy, and leave others of either to whoever else works here.
const HASHED_AT_ONCE: usize = 2;

/// Parts that the store lists at their full size, with their ETags as far as the server tells them.
pub(crate) type ReceivedParts = BTreeMap<PartNumber, Option<String>>;

/// Whether the ETags of a store's parts are their MD5s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ETagKind {
    Md5,
    Opaque,
    /// No part has shown it yet.
    Unknown,
}

/// The parts of the plan that the server says have arrived whole.
pub(crate) fn whole_parts(plan: &PartPlan, received: Vec<ReceivedPart>) -> ReceivedParts {
    let is_whole = |part: &ReceivedPart| plan.part(part.part_number).is_some_and(|own| own.size == part.size);
    received.into_iter().filter(is_whole).map(|part| (part.part_number, part.etag)).collect()
}

/// The kind of a store's ETags, by one part that it has just taken.
pub(crate) async fn etag_kind(content: &Content, part: Part, etag: &str) -> Result<ETagKind> {
    let Content::File(file) = content else { return Ok(ETagKind::Opaque) };
    let Some(claimed) = as_md5(etag) else { return Ok(ETagKind::Opaque) };
    Ok(if md5(file.clone(), part).await? == claimed { ETagKind::Md5 } else { ETagKind::Opaque })
}

/// The parts whose `ETag` has the form of an MD5 and is not that of our bytes, and the kind of the ETags as far as these
/// show it: a match is no coincidence.
///
/// Only of files: to read another registry's blob for this would cost as much as sending it again.
pub(crate) async fn differing(
    content: &Content,
    plan: &PartPlan,
    received: &ReceivedParts,
) -> Result<(Vec<Part>, ETagKind)> {
    let Content::File(file) = content else { return Ok((Vec::new(), ETagKind::Opaque)) };
    let comparable = received.iter().filter_map(|(number, etag)| {
        Some((plan.part(*number)?, as_md5(etag.as_deref().unwrap_or_default())?))
    });
    let mut comparing = Vec::with_capacity(received.len());
    for (part, claimed) in comparable {
        let hashing = md5(file.clone(), part);
        comparing.push(async move { Ok::<_, Error>((part, hashing.await? == claimed)) });
    }
    let compared: Vec<_> = stream::iter(comparing).buffered(HASHED_AT_ONCE).try_collect().await?;
    let kind = if compared.iter().any(|(_, same)| *same) { ETagKind::Md5 } else { ETagKind::Unknown };
    Ok((compared.into_iter().filter(|(_, same)| !same).map(|(part, _)| part).collect(), kind))
}

/// Sixteen bytes in hexadecimal, quoted or not. Those of several parts together have a `-` in them.
fn as_md5(etag: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(etag.trim_matches('"'), &mut bytes).ok()?;
    Some(bytes)
}

async fn md5(file: FileSource, part: Part) -> Result<[u8; 16]> {
    let path = file.path().to_owned();
    let section = file.section(part.offset, part.size).ok_or_else(|| Error::FileChanged(path.clone()))?;
    let hashing = blocking("hash", &path, move || {
        let mut hasher = Md5::new();
        let read = section.read_blocking().and_then(|reader| {
            each_block(reader, |block| {
                hasher.update(block);
                Ok(())
            })
        });
        read.map_err(Error::file("read", section.path()))?;
        Ok(hasher.finalize().into())
    });
    hashing.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_the_form_of_an_md5_is_compared() {
        let empty = "d41d8cd98f00b204e9800998ecf8427e";
        assert_eq!(as_md5(&format!("\"{empty}\"")), Some(Md5::digest(b"").into()));
        assert_eq!(as_md5(empty), as_md5(&empty.to_uppercase()));
        for opaque in ["", "\"\"", "\"part/1\"", &format!("\"{empty}-1\""), &empty[1..]] {
            assert_eq!(as_md5(opaque), None, "{opaque}");
        }
    }
}
