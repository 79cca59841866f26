//! Listings, page after page: repositories, tags, blobs and referrers.

use std::collections::BTreeSet;

use bytes::Bytes;
use overside_protocol::digest::Digest;
use overside_protocol::manifest::INDEX;
use overside_protocol::media_type::MediaType;
use overside_protocol::reference::{Reference, Tag};
use overside_protocol::wire::{BlobList, Descriptor, ListedBlob};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, LINK};
use serde::de::DeserializeOwned;
use url::Url;

use crate::transport::answer::Answer;
use crate::transport::auth::Scope;
use crate::transport::auth::fields::{parameter, split};
use crate::{Error, Registry, Repository, Result};

/// Entries asked for at a time; registries give fewer if they like.
const PAGE: &str = "1000";
/// Entries of one listing: what is kept of the longest is some hundred megabytes.
const MAX_ENTRIES: usize = 1_000_000;
/// Pages of one listing: enough for all of those entries at a hundred on a page, the most that some registries give.
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

impl Registry {
    /// The names of the repositories that the caller may see.
    ///
    /// # Errors
    /// [`Error::ListingTooLong`] if there are more than a million or on more than 10,000 pages, [`Error::Protocol`] if the
    /// pages lead in a circle. Besides that what [any request](Error#any-request) can fail with.
    pub async fn catalog(&self) -> Result<Vec<String>> {
        let url = self.join(&format!("v2/_catalog?n={PAGE}"))?;
        let page = |page: CatalogPage| page.repositories.unwrap_or_default();
        Ok(self.pages(url, &Scope::catalog(), page).await?.unwrap_or_default())
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

impl Repository {
    /// The repository's blobs, whether a manifest names them or not; none if the repository does not exist or the registry
    /// does not list blobs.
    ///
    /// # Errors
    /// As [`Registry::catalog`].
    pub async fn blobs(&self) -> Result<Option<Vec<ListedBlob>>> {
        let url = self.listing_url(&format!("blobs/?n={PAGE}"))?;
        self.registry.pages(url, &Scope::pull(&self.name), |page: BlobList| page.blobs).await
    }

    /// The repository's tags; none if the repository does not exist.
    ///
    /// # Errors
    /// As [`Registry::catalog`].
    pub async fn tags(&self) -> Result<Option<Vec<String>>> {
        let url = self.listing_url(&format!("tags/list?n={PAGE}"))?;
        self.registry
            .pages(url, &Scope::pull(&self.name), |page: TagPage| page.tags.unwrap_or_default())
            .await
    }

    /// The manifests whose subject this is, of one artifact type or of all.
    ///
    /// # Errors
    /// As [`Registry::catalog`], and as [`Self::manifest`] where the list is kept under a tag.
    pub async fn referrers(&self, subject: &Digest, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        let mut url = self.listing_url(&format!("referrers/{subject}"))?;
        if let Some(artifact_type) = artifact_type {
            url.query_pairs_mut().append_pair("artifactType", artifact_type);
        }
        let page = |page: Referrers| page.manifests.unwrap_or_default();
        let listed = match self.registry.pages(url, &Scope::pull(&self.name), page).await {
            Err(Error::Refused(refusal)) if is_no_endpoint(refusal.status) => None,
            listed => listed?,
        };
        let mut referrers = match listed {
            Some(referrers) => referrers,
            // A registry that knows of none: clients keep the list under a tag.
            None => self.tagged_referrers(subject).await?,
        };
        // Registries may leave the filter to us.
        referrers.retain(|referrer| {
            let found = referrer.artifact_type.as_ref().map(MediaType::as_str);
            artifact_type.is_none_or(|wanted| found == Some(wanted))
        });
        Ok(referrers)
    }

    /// The list of a subject's referrers that clients keep under a tag (distribution spec 1.1.1, "Referrers Tag Schema").
    pub(crate) async fn tagged_referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let tag = Reference::Tag(referrers_tag(subject)?);
        Ok(self.manifest(&tag).await?.map(|index| index.manifests).unwrap_or_default())
    }

    fn listing_url(&self, path: &str) -> Result<Url> {
        self.registry.join(&format!("v2/{}/{path}", self.name))
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
