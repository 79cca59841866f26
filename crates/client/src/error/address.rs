//! What is wrong with an address: one that a person wrote, or one that a registry leads to.

/// Why a text is no registry's address. The text is not repeated: it may hold a password.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    #[error("a registry is written HOST, HOST:PORT, or as a URL that begins with https:// or http://")]
    Malformed,
    #[error("there is a user name or password in the address; leave it out")]
    HasCredential,
}

/// Why nothing is sent to a place that a registry leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsafeDestination {
    #[error("a link-local address, where clouds have their metadata services")]
    LinkLocal,
    #[error("the address of a cloud's metadata service")]
    Metadata,
    #[error("an address of no single host")]
    NoHost,
    #[error("a private address, although the registry itself is on a public one")]
    Private,
    #[error("an address with a user name in it")]
    HasCredential,
}

/// A host name whose addresses are all refused. Carries the reason through the HTTP client's error.
#[derive(Debug, thiserror::Error)]
#[error("its name stands for {0}")]
pub(crate) struct UnsafeHost(pub UnsafeDestination);
