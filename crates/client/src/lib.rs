//! A client of OCI registries, Overside's and others': blobs go straight to the store where the registry signs URLs for it,
//! and in chunks through the server where it does not. Everything that is sent or fetched is verified by its digest, and an
//! interrupted transfer is resumed.
//!
//! # Tour
//!
//! A [`Registry`] is configured by its [builder](Registry::builder), a [`Repository`] is one of its repositories. Their
//! methods are what a registry can do: [`tags`](Repository::tags), [`manifest`](Repository::manifest),
//! [`delete_tag`](Repository::delete_tag), and so on. Transfers are builders of their own: what is not set has a sensible
//! default, and the last method does the work.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use overside_client::{Credential, Event, ImageRef, Registry};
//!
//! let image: ImageRef = "registry.example/team/model:v1".parse()?;
//! let address = image.registry().ok_or("name a registry")?;
//! let registry = Registry::builder(address.url()).credentials(Credential::basic("alice", "secret")).build()?;
//! let repository = registry.repository(image.repository().clone());
//!
//! // A file as a blob, and back.
//! let put = repository
//!     .put("model.bin")
//!     .jobs(8)
//!     .on_event(|subject, event| {
//!         if let Event::Advanced(bytes) = event {
//!             println!("{}: {bytes} bytes more", subject.name);
//!         }
//!     })
//!     .send()
//!     .await?;
//! println!("{} has {} bytes", put.digest, put.size);
//! repository.download(&put.digest).save("copy.bin").await?;
//!
//! // An image into an archive that `docker load` reads.
//! let root = repository.find(&image.reference_or_latest(), Some(&"linux/amd64".parse()?)).await?;
//! repository.pull(root).save("image.tar").await?;
//! # Ok(())
//! # }
//! ```
//!
//! | to transfer | use |
//! | --- | --- |
//! | a file, bytes in memory, or a stream, as a blob | [`Repository::put`], [`put_blob`](Repository::put_blob), [`put_stream`](Repository::put_stream) |
//! | a blob to a file | [`Repository::download`] |
//! | an image out of an archive, or another registry's artifact | [`Repository::push`] with an [`artifact::Origin`] |
//! | an image into an archive or an image layout | [`Repository::find`], [`Repository::pull`] |
//! | files or a folder as one artifact | [`artifact::ArtifactBuilder`], [`artifact::Folder`], [`Repository::push_files`] |
//! | an artifact's files to a folder | [`artifact::ArtifactFiles`], [`Repository::restore`] |
//! | by the presign protocol, request by request | [`Repository::session`] |
//!
//! [`credentials`] finds credentials where Docker and podman keep them. [`archive`] reads and writes image archives without a
//! registry. [`Progress`] shares one listener among many transfers. [`Error`] says what any request can fail with.
//!
//! # What it needs
//!
//! A Tokio runtime. It brings a TLS implementation of its own, and installs nothing for the whole process.
//!
//! # Modules
//!
//! ```text
//! artifact ──> registry ──> transport      what a registry can do, one request at a time
//!    ├───────> upload ─────────┤            blobs first, then the manifests that name them
//!    ├───────> download ───────┘            GET with Range into a file that is verified, then renamed
//!    └───────> archive ─────> files        images in files, checked whole before anything is sent
//! ```

pub mod archive;
pub mod artifact;
pub mod credentials;
mod download;
mod error;
mod files;
mod image_ref;
mod printable;
mod progress;
mod registry;
#[cfg(test)]
mod tests;
mod transport;
mod upload;

pub use credentials::Credential;
pub use download::Download;
pub use error::{
    AddressError, Error, FolderError, InvalidTitle, Refusal, Result, RootCause, UnsafeDestination,
};
pub use files::hashes::HashCache;
pub use files::midstates::Midstates;
pub use files::source::{FileHash, FileSource};
pub use image_ref::{ImageRef, ImageRefError};
pub use printable::{printable, printable_lines, shortened};
pub use progress::{Event, Outcome, Progress, Stage, Subject};
pub use registry::management::ManagementAnswer;
pub use registry::manifest;
pub use registry::manifests::PushedManifest;
pub use registry::repository::Repository;
pub use transport::address::{RegistryAddress, authority};
pub use transport::builder::RegistryBuilder;
pub use transport::registry::Registry;
pub use transport::retry::RetryPolicy;
pub use upload::blob::Blob;
pub use upload::concurrency::ConcurrencyLimit;
pub use upload::put::{Put, PutOutcome};
pub use upload::put_stream::PutStream;
pub use upload::saved_uploads::SavedUploads;
pub use upload::session::{PresignTerms, Session};
