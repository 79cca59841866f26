//! Manifests of a repository, by tag or digest.

use overside_protocol::digest::Digest;
use overside_protocol::manifest::{MAX_MANIFEST_SIZE, TYPES};
use overside_protocol::media_type::MediaType;
use overside_protocol::name::RepositoryName;
use overside_protocol::reference::{Reference, Tag};
use overside_protocol::wire::Descriptor;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, StatusCode};
use url::Url;

use super::blobs::says_nothing;
use super::manifest::Manifest;
use crate::transport::answer::{Answer, MAX_SHOWN};
use crate::transport::auth::Scope;
use crate::{Client, Error, Result, shortened};

/// With it a registry says that it lists the manifest among its subject's referrers (distribution spec 1.1.1).
const SUBJECT: &str = "oci-subject";
const CONTENT_DIGEST: &str = "docker-content-digest";

/// What pushing a manifest came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// The registry knows of referrers; where it does not, clients keep a list of them under a tag.
    pub lists_referrers: bool,
}

impl Client {
    /// A manifest, checked against the digest that it was asked for by or that the registry tells.
    pub async fn manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<Manifest>> {
        let url = self.manifest_url(repository, reference)?;
        let request = || accepting(self.http.get(url.clone()));
        let answer = self.call(&Scope::pull(repository), request).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = answer.expect(StatusCode::OK)?;
        if answer.body.len() > MAX_MANIFEST_SIZE {
            return Err(answer.unexpected("a manifest of more than 4 MiB"));
        }
        let told = match reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => answer.parsed(CONTENT_DIGEST),
        };
        let manifest =
            Manifest::read(answer.body.clone(), media_type(&answer), told.as_ref()).map_err(|error| {
                answer
                    .unexpected(format!("what is no manifest ({})", shortened(&error.to_string(), MAX_SHOWN)))
            })?;
        match told {
            Some(expected) if expected != manifest.descriptor.digest => {
                Err(Error::mismatch(expected, manifest.descriptor.digest))
            }
            _ => Ok(Some(manifest)),
        }
    }

    /// What a tag or digest stands for, if it is there.
    pub async fn resolve(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<Descriptor>> {
        self.resolve_by(&Scope::pull(repository), repository, reference).await
    }

    /// The same where a manifest is about to be pushed, see [`Self::pushed_blob_size`].
    pub(crate) async fn resolve_pushed(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<Descriptor>> {
        match self.resolve_by(&Scope::push(repository), repository, reference).await {
            // It does not say. Then it is sent, which replaces nothing under a digest.
            Err(Error::Refused(refusal))
                if says_nothing(refusal.status) && matches!(reference, Reference::Digest(_)) =>
            {
                Ok(None)
            }
            told => told,
        }
    }

    pub(crate) async fn resolve_by(
        &self,
        scope: &Scope,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<Descriptor>> {
        let url = self.manifest_url(repository, reference)?;
        let request = || accepting(self.http.head(url.clone()));
        let answer = self.call(scope, request).await?;
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
        Ok(self.manifest(repository, reference).await?.map(|manifest| manifest.descriptor))
    }

    /// Pushes the exact bytes of a manifest, by its digest and, if there is one, by a tag.
    pub async fn push_manifest(
        &self,
        repository: &RepositoryName,
        manifest: &Manifest,
        tag: Option<&Tag>,
    ) -> Result<Pushed> {
        let digest = manifest.descriptor.digest;
        let reference = tag.map_or(Reference::Digest(digest), |tag| Reference::Tag(tag.clone()));
        let url = self.manifest_url(repository, &reference)?;
        let request = || {
            let request = self.http.put(url.clone());
            let request = request.header(CONTENT_TYPE, manifest.descriptor.media_type.as_str());
            request.body(manifest.payload.clone())
        };
        let answer = self.call(&Scope::push(repository), request).await?;
        let answer = answer.expect_done()?;
        match answer.parsed::<Digest>(CONTENT_DIGEST) {
            Some(stored) if stored.algorithm() == digest.algorithm() && stored != digest => {
                Err(answer.unexpected(format!("digest {stored} instead of {digest}")))
            }
            _ => Ok(Pushed { lists_referrers: answer.header(SUBJECT).is_some() }),
        }
    }

    pub(crate) fn manifest_url(&self, repository: &RepositoryName, reference: &Reference) -> Result<Url> {
        self.url(&format!("v2/{repository}/manifests/{reference}"))
    }
}

fn accepting(request: RequestBuilder) -> RequestBuilder {
    request.header(ACCEPT, TYPES.join(", "))
}

/// Without its parameters, which no manifest needs. What is served as a plain file has the type of one (`text/plain`,
/// `application/octet-stream`, `application/json`): then the manifest says what it is.
fn media_type(answer: &Answer) -> Option<MediaType> {
    let told: MediaType = answer.header(CONTENT_TYPE.as_str())?.split(';').next()?.trim().parse().ok()?;
    Some(told).filter(|told| told.is_of_manifests() && told.as_str() != "application/json")
}
