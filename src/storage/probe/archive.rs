//! Whether a store unpacks what is PUT: an unsigned `X-Amz-Meta-Snowball-Auto-Extract` makes the `JuiceFS` gateway and
//! such servers write the entries of a tar to keys that its sender chooses.

use bytes::Bytes;

use super::urls::{Holder, sized};
use super::{Answer, Probe, UrlGuards};
use crate::storage::s3::classify;
use crate::storage::{Result, key};

/// Unit of a tar, in bytes (POSIX.1-2017, pax, "ustar Interchange Format").
const BLOCK: usize = 512;
const ENTRY: &str = "probe-unpacked";

impl Probe<'_> {
    pub(super) async fn archives_kept_whole(&self, holder: &Holder) -> Result<Answer> {
        let folder = format!("{}{}", self.store.settings().prefix, key::temp_prefix(self.run));
        let tar = Bytes::from(tar_of(folder.trim_end_matches('/'), ENTRY));
        let request = self.signed_put(holder, &self.key("tar"), sized(&tar), UrlGuards::default()).await?;
        let added = [("x-amz-meta-snowball-auto-extract", "true".to_owned())];
        if !holder.put(&request, &added, tar).await? {
            return Ok(Answer::Yes);
        }
        // Wherever it is unpacked relative to, it is below this: the entry names all of it.
        let listed =
            self.store.client().list_objects_v2().bucket(&self.store.settings().bucket).prefix(&folder);
        let listed = listed.send().await.map_err(classify("list objects"))?;
        let unpacked =
            listed.contents().iter().any(|object| object.key().is_some_and(|key| key.ends_with(ENTRY)));
        Ok(Answer::yes_if(
            !unpacked,
            "X-Amz-Meta-Snowball-Auto-Extract unpacks a tar: a URL writes objects it does not name",
        ))
    }
}

/// A tar of one empty file. Where `folder` is too long for its field, it is left out.
fn tar_of(folder: &str, name: &str) -> Vec<u8> {
    let folder = if folder.len() <= 155 { folder } else { "" };
    let mut tar = vec![0; 3 * BLOCK];
    let mut field = |at: usize, text: &str| tar[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(0, name);
    for (at, number) in
        [(100, "0000644"), (108, "0000000"), (116, "0000000"), (124, "00000000000"), (136, "00000000000")]
    {
        field(at, number);
    }
    // The checksum counts its own field as spaces.
    field(148, "        ");
    field(156, "0");
    field(257, "ustar\x0000");
    field(345, folder);
    let sum: u32 = tar.iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tar_is_one_that_a_reader_takes() {
        let bytes = tar_of("a/folder", "name");
        assert_eq!(bytes.len() % BLOCK, 0);
        assert_eq!(&bytes[257..263], b"ustar\0");
        let without: u32 = bytes
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        assert_eq!(&bytes[148..154], format!("{without:06o}").as_bytes());
        assert!(tar_of(&"x".repeat(200), "name")[345] == 0);
    }
}
