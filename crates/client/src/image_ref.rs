//! The reference of an image or another artifact, as people write it: `registry.example/team/app:v1`.

use std::fmt;
use std::str::FromStr;

use overside_protocol::digest::DigestError;
use overside_protocol::name::{NameError, RepositoryName};
use overside_protocol::reference::{InvalidReference, Reference, Tag};

use crate::AddressError;
use crate::transport::address::RegistryAddress;

/// A repository with or without its registry, and with or without a tag or digest:
/// `[http[s]://][HOST[:PORT]/]NAME[:TAG][@DIGEST]`.
///
/// The text before the first slash is a registry if it has a dot or a colon or is `localhost`, as for Docker. With both a
/// tag and a digest the digest counts, also as for Docker.
///
/// ```
/// use overside_client::ImageRef;
///
/// let image: ImageRef = "registry.example:5000/team/app:v1".parse()?;
/// assert_eq!(image.registry().map(|registry| registry.name()), Some("registry.example:5000"));
/// assert_eq!(image.repository().as_str(), "team/app");
/// assert_eq!(image.to_string(), "registry.example:5000/team/app:v1");
/// # Ok::<(), overside_client::ImageRefError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// As it was written, and what it means.
    registry: Option<(String, RegistryAddress)>,
    repository: RepositoryName,
    reference: Option<Reference>,
}

/// Why a text is no [`ImageRef`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageRefError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl ImageRef {
    /// The registry, if the text names one.
    #[must_use]
    pub fn registry(&self) -> Option<&RegistryAddress> {
        self.registry.as_ref().map(|(_, address)| address)
    }

    #[must_use]
    pub const fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// The tag or digest, if the text has one.
    #[must_use]
    pub const fn reference(&self) -> Option<&Reference> {
        self.reference.as_ref()
    }

    /// The tag or digest, or else the tag `latest`, which all tools take where none is given.
    #[must_use]
    pub fn reference_or_latest(&self) -> Reference {
        self.reference.clone().unwrap_or_else(|| Reference::Tag(Tag::latest()))
    }

    /// The same repository, with another tag or digest, or with none.
    #[must_use]
    pub fn with_reference(&self, reference: Option<Reference>) -> Self {
        Self { reference, ..self.clone() }
    }
}

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        let scheme = text.find("://").map_or(0, |end| end + "://".len());
        let first = text[scheme..].find('/').map(|end| scheme + end);
        let is_registry = |end: usize| {
            let first = &text[scheme..end];
            // No host begins with a dot, and a path that climbs is better called a bad name.
            scheme > 0 || (!first.starts_with('.') && first.contains(['.', ':'])) || first == "localhost"
        };
        let (registry, rest) = match first.filter(|end| is_registry(*end)) {
            Some(end) => (Some((text[..end].to_owned(), text[..end].parse()?)), &text[end + 1..]),
            None => (None, text),
        };
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (rest, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) => (name, Some(Reference::Tag(tag.parse().map_err(InvalidReference::Tag)?))),
            None => (rest, None),
        };
        let reference = digest.map(Reference::Digest).or(tag);
        Ok(Self { registry, repository: name.parse()?, reference })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((registry, _)) = &self.registry {
            write!(f, "{registry}/")?;
        }
        write!(f, "{}", self.repository)?;
        match &self.reference {
            Some(Reference::Tag(tag)) => write!(f, ":{tag}"),
            Some(Reference::Digest(digest)) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_docker_reads_them() {
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (text, registry, name, reference) in [
            ("team/app", None, "team/app", None),
            ("team/app:v1", None, "team/app", Some("v1")),
            ("localhost/team/app:v1", Some("localhost"), "team/app", Some("v1")),
            ("127.0.0.1:5000/app", Some("127.0.0.1:5000"), "app", None),
            ("[::1]:5000/app:a", Some("[::1]:5000"), "app", Some("a")),
            ("registry.example/a/b/c:1.0", Some("registry.example"), "a/b/c", Some("1.0")),
            ("http://registry:80/a", Some("http://registry:80"), "a", None),
        ] {
            let parsed: ImageRef = text.parse().unwrap();
            assert_eq!(parsed.registry.as_ref().map(|(written, _)| written.as_str()), registry, "{text}");
            assert_eq!(parsed.repository.as_str(), name, "{text}");
            assert_eq!(parsed.reference.as_ref().map(ToString::to_string).as_deref(), reference, "{text}");
            assert_eq!(parsed.to_string(), text);
        }
        let both: ImageRef = format!("a/b:v1@{digest}").parse().unwrap();
        assert_eq!(both.to_string(), format!("a/b@{digest}"));
        let latest = "a/b".parse::<ImageRef>().unwrap().reference_or_latest();
        assert_eq!(latest.to_string(), "latest");
    }

    #[test]
    fn a_text_that_names_nothing_is_refused_with_the_part_that_is_wrong() {
        for (text, wrong) in [
            ("", "name"),
            ("A/b", "name"),
            ("a:b:c", "name"),
            ("a b", "name"),
            ("../up", "name"),
            ("a:-", "tag"),
            ("a@b", "digest"),
            ("a@sha256:1", "digest"),
            ("ftp://x/y", "https://"),
            ("u:p@h.x/a", "password"),
        ] {
            let error = text.parse::<ImageRef>().unwrap_err().to_string();
            assert!(error.contains(wrong), "{text}: {error}");
        }
        for bad in ["/", "a/", "https://x", "http:///a", "h.x?q/a", "x.y/../z"] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
        }
    }
}
