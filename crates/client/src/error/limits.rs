//! What an archive may ask of whoever reads it. Images of the field stay far below. They stand beside the errors, whose
//! texts name them.

/// An image has at most 127 layers, and in the oldest form three entries for each: room for some hundred images.
pub(crate) const MAX_ENTRIES: usize = 100_000;
/// Longest name kept, in bytes; the longest that is asked for are those of SHA-512 blobs, below 150.
pub(crate) const MAX_NAME_LENGTH: usize = 512;
/// Extended headers hold names and attributes; Linux allows 64 KiB of attributes for a file.
pub(crate) const MAX_EXTENSION_SIZE: u64 = 256 * 1024;
/// `docker save` makes one link, from a layer to its twin.
pub(crate) const MAX_LINK_HOPS: usize = 8;
/// An index in `index.json` lists platforms; one more level is seen where several of them are gathered.
pub(crate) const MAX_INDEX_DEPTH: usize = 8;
/// Of all manifests together: they are kept in memory until they are sent.
pub(crate) const MAX_MANIFEST_BYTES: usize = 32 * 1024 * 1024;
/// Of an image's config, in bytes: what other clients take (containers/image, `MaxConfigBodySize`).
pub(crate) const MAX_CONFIG_SIZE: u64 = 4 * 1024 * 1024;
/// Of `manifest.json`: some thousand images.
pub(crate) const MAX_IMAGE_LIST_SIZE: u64 = 4 * 1024 * 1024;
/// Of `oci-layout`, which says a version.
pub(crate) const MAX_LAYOUT_FILE_SIZE: u64 = 64 * 1024;
/// JSON that is kept while a packed archive is read through, so that it need not be unpacked once more.
pub(crate) const MAX_KEPT_BYTES: usize = 32 * 1024 * 1024;
