//! Uploads of blobs into a repository.
//!
//! ```text
//! put ──> blob_upload ──> session, parts ──> signed_put   presigned: PUTs to the store of the parts that it lacks
//!              └───────> chunked                          through the server, where a registry signs nothing
//! put_stream ──────────────┘
//! content, saved_uploads, concurrency                     the bytes, where uploads are saved, how many go at a time
//! ```

pub(crate) mod blob;
pub(crate) mod blob_upload;
pub(crate) mod chunked;
pub(crate) mod concurrency;
pub(crate) mod content;
pub(crate) mod parts;
pub(crate) mod put;
pub(crate) mod put_stream;
pub(crate) mod received_parts;
pub(crate) mod saved_uploads;
pub(crate) mod session;
pub(crate) mod signed_put;
