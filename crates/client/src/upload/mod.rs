//! A blob on its way into a registry.
//!
//! ```text
//! put ──> session, parts ──> signed     presigned: PUTs to the store, of what has not arrived there
//!  │                           │
//!  └────> chunked              │        a registry that signs nothing: chunks from wherever it is
//!            └─────────────────┴──> content, state      what is sent, and where an upload goes on
//! ```

pub(crate) mod arrived;
pub(crate) mod chunked;
pub(crate) mod content;
pub(crate) mod parts;
pub(crate) mod put;
pub(crate) mod put_chunks;
pub(crate) mod session;
pub(crate) mod signed;
pub(crate) mod state;
