//! What a registry lists, page after page: repositories, tags and referrers.

use std::collections::BTreeSet;

use bytes::Bytes;
use overside_protocol::digest::Digest;
use overside_protocol::manifest::INDEX;
use overside_protocol::media_type::MediaType;
use overside_protocol::name::RepositoryName;
use overside_protocol::reference::{Reference, Tag};
use overside_protocol::wire::ListedBlob;
use overside_protocol::wire::{BlobList, Descriptor};
use reqwest::header::{ACCEPT, HeaderMap, LINK};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use crate::transport::CALL_TIMEOUT;
use crate::transport::address::peer;
use crate::transport::answer::Answer;
use crate::transport::auth::fields::{parameter, split};
use crate::transport::auth::{Scope, realm};
use crate::{Client, Error, Result};

/// Entries asked for at a time; registries give fewer if they like.
const PAGE: &str = "1000";
/// Entries of one listing: what is kept of the longest is some hundred megabytes.
const MAX_ENTRIES: usize = 1_000_000;
/// Of one listing: all of those entries at a hundred on a page, as some registries give at most.
const MAX_PAGES: usize = 10_000;
/// Pages in a row with nothing on them: registries that filter what they have listed give some.
const MAX_EMPTY_PAGES: usize = 20;

/// Go's registries write `null` for a list that has nothing in it.
#[derive(serde::Deserialize)]
struct TagPage {
    tags: Option<Vec<String>>,
}

#[derive(serde::Deserialize)]
struct CatalogPage {
    repositories: Option<Vec<String>>,
}

/// A list of referrers as registries keep it, or clients for them: an index, whatever else is in it.
#[derive(serde::Deserialize)]
struct Referrers {
    manifests: Option<Vec<Descriptor>>,
}

impl Client {
    /// Whether this is a registry, and one that lets the caller in.
    pub async fn ping(&self) -> Result<()> {
        let url = self.url("v2/")?;
        let answer = self.call(&Scope::NONE, || self.http.get(url.clone())).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(answer.unexpected("404 to /v2/; it is no registry"));
        }
        answer.expect(StatusCode::OK).map(|_| ())
    }

    /// Where passwords for this registry go, if that is another host than its own: people should hear of it before.
    /// [`Error::TokenService`] where they do not go.
    pub async fn token_service_elsewhere(&self) -> Result<Option<Url>> {
        let url = self.url("v2/")?;
        match self.look(Method::GET, &url, HeaderMap::new()).await? {
            (StatusCode::UNAUTHORIZED, headers) => {
                self.authenticator.token_service_elsewhere(&self.base, &headers)
            }
            _ => Ok(None),
        }
    }

    /// Where an answer sends whoever has to sign in for tokens, if that is a URL.
    #[must_use]
    pub fn realm(headers: &HeaderMap) -> Option<Url> {
        realm(headers)
    }

    /// Sends a request with nothing but these headers, as nobody, to whatever place; status and headers of the answer.
    /// For looking at what others will meet.
    pub async fn look(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<(StatusCode, HeaderMap)> {
        let http = self.destinations.to(url)?;
        let request = http.request(method, url.clone()).headers(headers).timeout(CALL_TIMEOUT);
        let answer = request.send().await.map_err(|error| Error::transport(&peer(url), error))?;
        Ok((answer.status(), answer.headers().clone()))
    }

    /// The repositories that the caller may see.
    pub async fn catalog(&self) -> Result<Vec<String>> {
        let url = self.url(&format!("v2/_catalog?n={PAGE}"))?;
        let page = |page: CatalogPage| page.repositories.unwrap_or_default();
        Ok(self.pages(url, &Scope::catalog(), page).await?.unwrap_or_default())
    }

    /// The blobs of a repository, whether a manifest names them or not; none if the repository is not there, or the
    /// registry does not list blobs.
    pub async fn blobs(&self, repository: &RepositoryName) -> Result<Option<Vec<ListedBlob>>> {
        let url = self.url(&format!("v2/{repository}/blobs/?n={PAGE}"))?;
        self.pages(url, &Scope::pull(repository), |page: BlobList| page.blobs).await
    }

    /// The tags of a repository; none if the repository is not there.
    pub async fn tags(&self, repository: &RepositoryName) -> Result<Option<Vec<String>>> {
        let url = self.url(&format!("v2/{repository}/tags/list?n={PAGE}"))?;
        self.pages(url, &Scope::pull(repository), |page: TagPage| page.tags.unwrap_or_default()).await
    }

    /// The manifests whose subject this is, of one type or all.
    pub async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>> {
        let mut url = self.url(&format!("v2/{repository}/referrers/{subject}"))?;
        if let Some(artifact_type) = artifact_type {
            url.query_pairs_mut().append_pair("artifactType", artifact_type);
        }
        let page = |page: Referrers| page.manifests.unwrap_or_default();
        let listed = match self.pages(url, &Scope::pull(repository), page).await {
            Err(Error::Refused(refusal)) if is_no_endpoint(refusal.status) => None,
            listed => listed?,
        };
        let mut referrers = match listed {
            Some(referrers) => referrers,
            // A registry that knows of none: clients keep the list under a tag.
            None => self.tagged_referrers(repository, subject).await?,
        };
        // Registries may leave the filter to us.
        referrers.retain(|referrer| {
            let told = referrer.artifact_type.as_ref().map(MediaType::as_str);
            artifact_type.is_none_or(|wanted| told == Some(wanted))
        });
        Ok(referrers)
    }

    /// What clients have noted of a subject's referrers (distribution spec 1.1.1, "Referrers Tag Schema").
    pub(crate) async fn tagged_referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>> {
        let tag = Reference::Tag(referrers_tag(subject)?);
        Ok(self.manifest(repository, &tag).await?.map(|index| index.manifests).unwrap_or_default())
    }

    /// All pages of a listing; none where there is nothing to list.
    async fn pages<P: DeserializeOwned, T>(
        &self,
        first: Url,
        scope: &Scope,
        entries: impl Fn(P) -> Vec<T>,
    ) -> Result<Option<Vec<T>>> {
        let (mut listed, mut seen, mut next) = (Vec::new(), BTreeSet::new(), Some(first));
        let (mut before, mut empty) = (Bytes::new(), 0);
        while let Some(url) = next {
            // A Link that leads back would have us list for ever.
            if !seen.insert(url.to_string()) {
                return Err(self.unexpected("a listing that leads in a circle"));
            }
            if seen.len() > MAX_PAGES {
                return Err(Error::ListingTooLong { peer: self.peer(), most: MAX_PAGES, of: "pages" });
            }
            let request = || self.http.get(url.clone()).header(ACCEPT, format!("{INDEX}, application/json"));
            let answer = self.call(scope, request).await?;
            if answer.status == StatusCode::NOT_FOUND && listed.is_empty() {
                return Ok(None);
            }
            let answer = answer.expect(StatusCode::OK)?;
            // On our own host, whatever a registry behind a proxy takes itself for.
            next = next_page(&answer, &url).map(|next| {
                let mut own = url.clone();
                own.set_path(next.path());
                own.set_query(next.query());
                own
            });
            let page = entries(answer.json()?);
            empty = if page.is_empty() { empty + 1 } else { 0 };
            // Under another address again and again.
            if empty > MAX_EMPTY_PAGES || (empty == 0 && answer.body == before) {
                return Err(answer.unexpected("a listing that does not advance"));
            }
            if listed.len() + page.len() > MAX_ENTRIES {
                return Err(Error::ListingTooLong { peer: self.peer(), most: MAX_ENTRIES, of: "entries" });
            }
            listed.extend(page);
            before = answer.body;
        }
        Ok(Some(listed))
    }
}

/// The tag under which clients keep a list of referrers where the registry keeps none.
pub(crate) fn referrers_tag(subject: &Digest) -> Result<Tag> {
    let name = subject.to_string().replace(':', "-");
    // SHA-512's is longer than a tag may be; the specification cuts it.
    let name = &name[..name.len().min(overside_protocol::reference::MAX_TAG_LENGTH)];
    name.parse().map_err(|_| Error::BlobUnknown(*subject))
}

/// `Link: </v2/_catalog?last=x&n=100>; rel="next"` (RFC 8288).
fn next_page(answer: &Answer, at: &Url) -> Option<Url> {
    let links = answer.headers.get_all(LINK).iter().filter_map(|link| link.to_str().ok());
    links.flat_map(|line| split(line, ',')).find_map(|link| {
        let mut parts = split(link, ';');
        let target = parts.next()?.trim_matches(['<', '>']);
        let is_next = parts.filter_map(parameter).any(|(name, value)| {
            name == "rel" && value.split_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
        });
        is_next.then(|| at.join(target).ok()).flatten()
    })
}

/// What registries answer that know no referrers, beside the `404` that the specification has for it.
const fn is_no_endpoint(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::NOT_IMPLEMENTED
    )
}
