//! The errors of the client: of the registry, of the store, and of the local disk.

mod address;
mod archive;
mod folder;
pub(super) mod limits;

use std::path::{Path, PathBuf};
use std::time::Duration;

use overside_protocol::digest::{Digest, Mismatch};
use overside_protocol::reference::{Reference, Tag};
use overside_protocol::upload::{Status, UploadId};
use overside_protocol::wire::FailureState;
use reqwest::StatusCode;

pub(super) use address::UnsafeHost;
pub use address::{AddressError, UnsafeDestination};
pub use archive::{ArchiveError, MissingContent};
pub use folder::{FolderError, InvalidTitle};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, worded for people: what happened to what, and as far as it is the same for every program, what to do.
///
/// # Any request
///
/// A request to a registry is repeated where that can help, see [`RetryPolicy`](crate::RetryPolicy). When it is given up,
/// the error is one of these:
/// * [`Self::Unreachable`]: nobody listens at the address, or its name cannot be resolved
/// * [`Self::Untrusted`]: the certificate is not one of the host's, or nothing here vouches for it
/// * [`Self::Broken`], [`Self::Truncated`], [`Self::Stalled`]: the connection broke, ended early, or stood still
/// * [`Self::Unauthorized`]: the registry or its token service wants credentials, or refuses those it got
/// * [`Self::TokenService`], [`Self::Destination`]: nothing is sent to the place that the registry names
/// * [`Self::Refused`]: the registry refused the request, in its own words
/// * [`Self::Protocol`]: the answer is none that a registry gives
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("cannot set up HTTPS on this machine")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nobody listens there, or the name is wrong.
    #[error("cannot reach {peer}; check the address and that the server runs")]
    Unreachable {
        peer: String,
        #[source]
        source: RootCause,
    },
    #[error("{peer} shows a certificate that nothing here vouches for")]
    Untrusted {
        peer: String,
        #[source]
        source: RootCause,
    },
    /// The registry named a place that it has no reason to name.
    #[error("the registry leads to {place}, and that is {reason}; nothing was sent there")]
    Destination { place: String, reason: UnsafeDestination },
    /// The registry has its passwords checked by somebody who may be anybody.
    #[error(
        "{registry} wants your password sent to {service}, which is not in its own domain; nothing was sent there"
    )]
    TokenService { registry: String, service: String },
    /// It began, and ended in the middle.
    #[error("the connection to {peer} broke")]
    Broken {
        peer: String,
        #[source]
        source: RootCause,
    },
    #[error("{peer} ended the transfer early")]
    Truncated { peer: String },
    #[error("{peer} neither took nor sent anything for {} seconds", after.as_secs())]
    Stalled { peer: String, after: Duration },
    #[error("{}", .0.with_request())]
    Refused(Refusal),
    #[error("{}", unauthorized(peer, *signed_in, &refusal.with_request()))]
    Unauthorized { peer: String, signed_in: bool, refusal: Refusal },
    #[error("the store refused: {0}")]
    StoreRefused(Refusal),
    /// An answer that this protocol does not have.
    #[error(
        "{peer} answered with {what}, which the protocol does not have; is it a registry, and nothing in between?"
    )]
    Protocol { peer: String, what: String },
    #[error(
        "the server knows no upload {0}; it was finished long ago, aborted, or belongs to another repository: begin again"
    )]
    UploadUnknown(UploadId),
    #[error("upload {0} has expired; begin again")]
    UploadExpired(UploadId),
    #[error("upload {id} cannot go on, it is {status}{}; begin again", failure.as_ref().map_or_else(String::new, |failure| format!(" ({})", failure.message)))]
    UploadEnded { id: UploadId, status: Status, failure: Option<FailureState> },
    #[error("upload {0} is for the bytes of a proxied client, not for a presigned one; begin again")]
    UploadProxied(UploadId),
    #[error("{peer} takes no chunks, so nothing whose size is not known; upload it as a file")]
    NoChunks { peer: String },
    #[error("{peer} lost the upload; begin again")]
    UploadLost { peer: String },
    /// The server says that it is finalizing, and has told no progress for long.
    #[error(
        "the server has been checking upload {id} for {} minutes without any progress; the upload stays there: resume it later, or have the server looked at",
        after.as_secs() / 60
    )]
    FinalizeStalled { id: UploadId, after: Duration },
    /// Finalizing found something missing that can still be sent.
    #[error("upload {0} is not complete on the server; resume it")]
    Incomplete(UploadId),
    #[error("the server has no blob {0} in this repository, or you may not read it")]
    BlobUnknown(Digest),
    #[error("the repository has no manifest {0}, or you may not read it")]
    ManifestUnknown(Reference),
    #[error("{peer} lists more than {most} {of}; name what you look for more narrowly")]
    ListingTooLong { peer: String, most: usize, of: &'static str },
    #[error("below {0} and about it are more manifests, or more floors of them, than an artifact has")]
    TooDeep(Digest),
    #[error("there is no image for {wanted}; there is one for {there}")]
    PlatformUnknown { wanted: String, there: String },
    #[error("tag {tag} already means {digest}")]
    TagTaken { tag: Tag, digest: Digest },
    /// None that registries have to be able to delete by itself.
    #[error("{peer} deletes no tag by itself, only a manifest with all its tags")]
    TagStays { peer: String, tag: Tag, digest: Digest },
    #[error("what arrived is {}, not {}; it was discarded, download it again", .0.found, .0.expected)]
    DigestMismatch(Box<Mismatch>),
    #[error("{} changed while it was being uploaded; upload it again when nothing writes to it", .0.display())]
    FileChanged(PathBuf),
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    #[error("another process is downloading to {}; wait for it or choose another file", .0.display())]
    DownloadInProgress(PathBuf),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// The refusal of a registry or a store, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    pub status: StatusCode,
    /// OCI's or S3's error code; empty where none was sent.
    pub code: String,
    pub message: String,
    /// How long it asked us to wait.
    pub retry_after: Option<Duration>,
    /// Method and URL of the request, without the query, which may hold a signature.
    pub request: Option<String>,
}

impl Refusal {
    /// The refusal with the request before it, where that is known.
    fn with_request(&self) -> String {
        match &self.request {
            Some(request) => format!("{request} was refused: {self}"),
            None => format!("the server refused: {self}"),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = self.status.as_u16();
        match (self.message.as_str(), self.code.as_str()) {
            ("", "") => write!(f, "{}", self.status),
            ("", code) => write!(f, "{code} (status {status})"),
            (message, "") => write!(f, "{message} (status {status})"),
            (message, code) => write!(f, "{message} ({code}, status {status})"),
        }
    }
}

fn unauthorized(peer: &str, signed_in: bool, refusal: &str) -> String {
    if signed_in {
        format!("{peer} refused the credentials, or they lack the right: {refusal}")
    } else {
        format!("{peer} wants to know who you are: {refusal}")
    }
}

/// An HTTP client's error by what it comes from, such as `Connection refused`: what the client says of itself on the way
/// there helps nobody.
#[derive(Debug)]
pub struct RootCause(reqwest::Error);

impl std::fmt::Display for RootCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut root: &dyn std::error::Error = &self.0;
        while let Some(source) = root.source() {
            root = source;
        }
        std::fmt::Display::fmt(root, f)
    }
}

impl std::error::Error for RootCause {}

/// The first cause of a failed request that is a `T`.
fn cause<T: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error leaves what it wraps out of the chain.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = wrapped.map(|wrapped| wrapped as _).or_else(|| error.source());
    }
    None
}

impl Error {
    /// For `map_err`: there are no secure connections to be had.
    pub(crate) fn setup(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Setup(source.into())
    }

    /// A failed request. The URL is left out: a signed one is a credential, and errors end up in logs.
    pub(super) fn transport(peer: &str, source: reqwest::Error) -> Self {
        let (peer, refused, source) = (peer.to_owned(), source.is_connect(), source.without_url());
        if let Some(UnsafeHost(reason)) = cause(&source) {
            Self::Destination { place: peer, reason: *reason }
        } else if matches!(cause(&source), Some(rustls::Error::InvalidCertificate(_))) {
            // Whoever is at the other end showed itself to be somebody else.
            Self::Untrusted { peer, source: RootCause(source) }
        } else if refused {
            Self::Unreachable { peer, source: RootCause(source) }
        } else {
            Self::Broken { peer, source: RootCause(source) }
        }
    }

    pub(super) fn protocol(peer: &str, what: impl Into<String>) -> Self {
        Self::Protocol { peer: peer.to_owned(), what: what.into() }
    }

    pub(crate) fn mismatch(expected: Digest, found: Digest) -> Self {
        Self::DigestMismatch(Box::new(Mismatch { expected, found }))
    }

    /// For `map_err`: `action` on `path` failed.
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// How long the other side asked to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.refusal().and_then(|refusal| refusal.retry_after)
    }

    /// The other side's refusal, if that is what this is.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) | Self::StoreRefused(refusal) | Self::Unauthorized { refusal, .. } => {
                Some(refusal)
            }
            _ => None,
        }
    }
}
