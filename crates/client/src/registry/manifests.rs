//! Manifests of a repository: fetched, resolved and pushed by tag or digest.

use overside_protocol::digest::Digest;
use overside_protocol::manifest::{MAX_MANIFEST_SIZE, TYPES};
use overside_protocol::media_type::MediaType;
use overside_protocol::reference::{Reference, Tag};
use overside_protocol::wire::Descriptor;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, StatusCode};
use url::Url;

use super::blobs::says_nothing;
use super::manifest::Manifest;
use crate::transport::answer::{Answer, MAX_SHOWN};
use crate::transport::auth::Scope;
use crate::{Error, Repository, Result, shortened};

/// With it a registry says that it lists the manifest among its subject's referrers (distribution spec 1.1.1).
const SUBJECT: &str = "oci-subject";
const CONTENT_DIGEST: &str = "docker-content-digest";

/// What the registry answered to the push of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushedManifest {
    /// Whether the registry lists the manifest among its subject's referrers. If not, clients keep that list under a tag.
    pub lists_referrers: bool,
}

impl Repository {
    /// A manifest, by its tag or digest; none if the repository does not have it. Its bytes are verified against the digest
    /// in the reference, or else the one in the registry's answer.
    ///
    /// # Errors
    /// [`Error::Protocol`] if the answer is no manifest or has more than 4 MiB, [`Error::DigestMismatch`] if it has another
    /// digest. Besides that what [any request](Error#any-request) can fail with.
    pub async fn manifest(&self, reference: &Reference) -> Result<Option<Manifest>> {
        let url = self.manifest_url(reference)?;
        let request = || accepting(self.registry.http.get(url.clone()));
        let answer = self.registry.call(&Scope::pull(&self.name), request).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = answer.expect(StatusCode::OK)?;
        if answer.body.len() > MAX_MANIFEST_SIZE {
            return Err(answer.unexpected("a manifest of more than 4 MiB"));
        }
        let expected = match reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => answer.parsed(CONTENT_DIGEST),
        };
        let manifest =
            Manifest::read(answer.body.clone(), media_type(&answer), expected.as_ref()).map_err(|error| {
                answer
                    .unexpected(format!("what is no manifest ({})", shortened(&error.to_string(), MAX_SHOWN)))
            })?;
        match expected {
            Some(expected) if expected != manifest.descriptor.digest => {
                Err(Error::mismatch(expected, manifest.descriptor.digest))
            }
            _ => Ok(Some(manifest)),
        }
    }

    /// Type, digest and size of the manifest that a tag or digest points to; none if the repository does not have it.
    ///
    /// # Errors
    /// As [`Self::manifest`], which is fetched from a registry that does not tell all of these in the headers.
    pub async fn resolve(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        self.resolve_by(&Scope::pull(&self.name), reference).await
    }

    /// As [`Self::resolve`], where a manifest is about to be pushed, see [`Self::pushed_blob_size`].
    pub(crate) async fn resolve_pushed(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        match self.resolve_by(&Scope::push(&self.name), reference).await {
            // It does not say. Then it is sent, which replaces nothing under a digest.
            Err(Error::Refused(refusal))
                if says_nothing(refusal.status) && matches!(reference, Reference::Digest(_)) =>
            {
                Ok(None)
            }
            found => found,
        }
    }

    pub(crate) async fn resolve_by(
        &self,
        scope: &Scope,
        reference: &Reference,
    ) -> Result<Option<Descriptor>> {
        let url = self.manifest_url(reference)?;
        let request = || accepting(self.registry.http.head(url.clone()));
        let answer = self.registry.call(scope, request).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !says_nothing(answer.status) {
            let answer = answer.expect(StatusCode::OK)?;
            let (digest, size) = (answer.parsed(CONTENT_DIGEST), answer.parsed("content-length"));
            if let (Some(media_type), Some(digest), Some(size)) = (media_type(&answer), digest, size) {
                return Ok(Some(Descriptor::new(media_type, digest, size)));
            }
        }
        // A HEAD need not tell everything; the manifest itself does.
        Ok(self.manifest(reference).await?.map(|manifest| manifest.descriptor))
    }

    /// Pushes the exact bytes of a manifest, under a tag or else by its digest alone.
    ///
    /// # Errors
    /// [`Error::Refused`] if the registry lacks what the manifest names, or refuses it for what it is, [`Error::Protocol`] if
    /// it stored another digest. Besides that what [any request](Error#any-request) can fail with.
    pub async fn push_manifest(&self, manifest: &Manifest, tag: Option<&Tag>) -> Result<PushedManifest> {
        let digest = manifest.descriptor.digest;
        let reference = tag.map_or(Reference::Digest(digest), |tag| Reference::Tag(tag.clone()));
        let url = self.manifest_url(&reference)?;
        let request = || {
            let request = self.registry.http.put(url.clone());
            let request = request.header(CONTENT_TYPE, manifest.descriptor.media_type.as_str());
            request.body(manifest.payload.clone())
        };
        let answer = self.registry.call(&Scope::push(&self.name), request).await?;
        let answer = answer.expect_success()?;
        match answer.parsed::<Digest>(CONTENT_DIGEST) {
            Some(stored) if stored.algorithm() == digest.algorithm() && stored != digest => {
                Err(answer.unexpected(format!("digest {stored} instead of {digest}")))
            }
            _ => Ok(PushedManifest { lists_referrers: answer.header(SUBJECT).is_some() }),
        }
    }

    pub(crate) fn manifest_url(&self, reference: &Reference) -> Result<Url> {
        self.registry.join(&format!("v2/{}/manifests/{reference}", self.name))
    }
}

fn accepting(request: RequestBuilder) -> RequestBuilder {
    request.header(ACCEPT, TYPES.join(", "))
}

/// Without its parameters, which no manifest needs. What is served as a plain file has the type of one (`text/plain`,
/// `application/octet-stream`, `application/json`): then the manifest says what it is.
fn media_type(answer: &Answer) -> Option<MediaType> {
    let media_type: MediaType =
        answer.header(CONTENT_TYPE.as_str())?.split(';').next()?.trim().parse().ok()?;
    Some(media_type).filter(|found| found.is_of_manifests() && found.as_str() != "application/json")
}
