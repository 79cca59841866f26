//! A client of OCI registries, Overside's and others', for programs: blobs go straight to the store where the registry
//! signs URLs, and in chunks where it does not; everything that is sent or fetched is proven by its digest, and goes on
//! where an interruption left it.
//!
//! ```text
//! artifact ──> registry ──> transport                  what a registry has, verb by verb
//!    ├───────> upload ─────────┤                        blobs first, then the manifests that name them
//!    ├───────> download ───────┘                        GET with Range into a file that is proven, then renamed
//!    └───────> archive ─────> files                    images in files, checked whole before anything is sent
//! ```
//! * [`Client`]: one registry; what it has and takes are its methods
//! * [`Client::put_file`], [`Client::put_blob`], [`Client::download`]: blobs; [`Session`] is the presign protocol step by
//!   step
//! * [`artifact`]: images and other artifacts, between registries, archives and folders; [`archive`] reads and writes them
//! * [`credentials`]: who somebody is, as Docker and podman keep it
//! * [`Progress`]: what is happening, told to whoever listens
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::path::Path;
//!
//! use overside_client::{Client, Progress, PutOptions};
//!
//! let client = Client::new("http://127.0.0.1:5000".parse()?)?;
//! let repository = "team/model".parse()?;
//! let put = client
//!     .put_file(&repository, Path::new("model.bin"), &PutOptions::default(), &Progress::default())
//!     .await?;
//! println!("{} has {} bytes", put.digest, put.size);
//! client.download(&repository, &put.digest, Path::new("copy.bin"), &Progress::default()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! It needs a Tokio runtime, brings a TLS of its own, and installs nothing for the whole process.

pub mod archive;
pub mod artifact;
pub mod credentials;
mod download;
mod error;
mod files;
mod printable;
mod progress;
mod registry;
#[cfg(test)]
mod tests;
mod transport;
mod upload;

pub use credentials::Credential;
pub use error::{Error, Refusal, Result, RootCause, Why};
pub use files::hashes::HashCache;
pub use files::midstates::Midstates;
pub use files::source::{FileSource, Hashed};
pub use printable::{printable, printable_lines, shortened};
pub use progress::{Event, Outcome, Progress, Stage, Subject};
pub use registry::management::ManagementAnswer;
pub use registry::manifest;
pub use registry::manifests::Pushed;
pub use transport::address::{AddressError, RegistryAddress, authority};
pub use transport::client::{Client, ConnectOptions};
pub use transport::retry::RetryPolicy;
pub use upload::content::{Content, RemoteBlob};
pub use upload::put::{Blob, PutOptions, PutOutcome};
pub use upload::session::{PresignTerms, Session};
pub use upload::signed::{Lanes, Transferred};
pub use upload::state::UploadStates;
