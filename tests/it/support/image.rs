//! Images, indexes and artifacts as clients make them, and the registry's endpoints for them.

use bytes::Bytes;
use overside::domain::digest::{Algorithm, Digest};
use overside::domain::hash::Hasher;
use reqwest::header::{CONTENT_TYPE, LINK};
use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Value, json};

use super::api::{Answer, Repository, digest_of};

pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The config of an artifact that has none, and whose content is `{}`.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Pages that no listing of a story comes near: a `Link` that leads in a circle is found out.
const MANY_PAGES: usize = 1_000;

/// The exact bytes of a manifest and what it is pushed as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub media_type: String,
    pub payload: Bytes,
}

/// What a manifest says of some content.
pub fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest_of(content), "size": content.len() })
}

pub fn image(config: &Value, layers: &[Value]) -> Manifest {
    Manifest::of(
        IMAGE,
        &json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers }),
    )
}

pub fn index(manifests: &[Value]) -> Manifest {
    Manifest::of(INDEX, &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }))
}

impl Manifest {
    pub fn of(media_type: &str, content: &Value) -> Self {
        Self { media_type: media_type.to_owned(), payload: content.to_string().into() }
    }

    /// The same one with another value, or none, in this field.
    pub fn with(&self, field: &str, value: Value) -> Self {
        let mut content: Value = serde_json::from_slice(&self.payload).expect("JSON");
        let fields = content.as_object_mut().expect("an object");
        match value {
            Value::Null => fields.remove(field),
            value => fields.insert(field.to_owned(), value),
        };
        Self::of(&self.media_type, &content)
    }

    /// Filled up with spaces to this many bytes.
    pub fn padded(&self, length: usize) -> Self {
        let mut payload = self.payload.to_vec();
        payload.resize(length, b' ');
        Self { payload: payload.into(), ..self.clone() }
    }

    pub fn digest(&self) -> Digest {
        digest_of(&self.payload)
    }

    pub fn sha512(&self) -> Digest {
        Hasher::digest(Algorithm::Sha512, &self.payload)
    }

    pub fn descriptor(&self) -> Value {
        descriptor(&self.media_type, &self.payload)
    }
}

/// A page of tags, repositories or referrers: its entries' names or digests.
pub fn entries(page: &Answer) -> Vec<String> {
    let json = page.json();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    if let Some(names) = json.get("tags").or(json.get("repositories")) {
        return names.as_array().expect("an array").iter().map(text).collect();
    }
    let manifests = json["manifests"].as_array().expect("an index");
    manifests.iter().map(|entry| text(&entry["digest"])).collect()
}

/// The page after this one.
pub fn next(page: &Answer) -> Option<String> {
    let link = page.headers.get(LINK)?.to_str().expect("ASCII");
    let path = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
    Some(path.unwrap_or_else(|| panic!("no link to the next page: {link}")).to_owned())
}

impl Repository {
    /// Of `manifests/v1`, `tags/list` and the like.
    pub fn at(&self, path: &str) -> String {
        let blobs = self.url("");
        format!("{}/{path}", blobs.strip_suffix("/blobs/").expect("as it was made"))
    }

    /// Of `_catalog`, or what a `Link` leads to.
    pub fn root(&self, path: &str) -> String {
        format!("{}{path}", self.url("").split("/v2/").next().expect("a base"))
    }

    pub fn manifest(&self, method: Method, reference: impl std::fmt::Display) -> RequestBuilder {
        self.http.request(method, self.at(&format!("manifests/{reference}")))
    }

    /// Pushes the blobs of an image that is like no other, and not the image itself.
    pub async fn image(&self, text: &str) -> Manifest {
        let (config, layer) = (json!({ "text": text }).to_string(), format!("the layer of {text}"));
        self.push(config.as_bytes()).await;
        self.push(layer.as_bytes()).await;
        image(&descriptor(CONFIG, config.as_bytes()), &[descriptor(LAYER, layer.as_bytes())])
    }

    /// An image of this one tag.
    pub async fn tagged(&self, tag: &str) -> Manifest {
        let image = self.image(tag).await;
        self.put(tag, &image).await.expect(201);
        image
    }

    pub async fn put(&self, reference: impl std::fmt::Display, manifest: &Manifest) -> Answer {
        self.put_as(reference, Some(&manifest.media_type), manifest.payload.clone()).await
    }

    pub async fn put_as(
        &self,
        reference: impl std::fmt::Display,
        content_type: Option<&str>,
        body: impl Into<Body>,
    ) -> Answer {
        let mut put = self.manifest(Method::PUT, reference).body(body);
        if let Some(content_type) = content_type {
            put = put.header(CONTENT_TYPE, content_type);
        }
        Answer::to(put).await
    }

    pub async fn get(&self, reference: impl std::fmt::Display) -> Answer {
        Answer::to(self.manifest(Method::GET, reference)).await
    }

    pub async fn head(&self, reference: impl std::fmt::Display) -> Answer {
        Answer::to(self.manifest(Method::HEAD, reference)).await
    }

    pub async fn delete(&self, reference: impl std::fmt::Display) -> Answer {
        Answer::to(self.manifest(Method::DELETE, reference)).await
    }

    pub async fn head_blob(&self, digest: &Digest) -> Answer {
        Answer::to(self.http.head(self.url(digest))).await
    }

    pub async fn delete_blob(&self, digest: &Digest) -> Answer {
        Answer::to(self.http.delete(self.url(digest))).await
    }

    /// One page: `tags/list?n=2`, `referrers/DIGEST`.
    pub async fn list(&self, path: &str) -> Answer {
        Answer::to(self.http.get(self.at(path))).await
    }

    /// This page and all that it leads to.
    pub async fn pages(&self, path: &str) -> Vec<Answer> {
        self.pages_from(self.at(path)).await
    }

    pub async fn pages_from(&self, url: String) -> Vec<Answer> {
        let mut pages = Vec::new();
        let mut url = Some(url);
        while let Some(at) = url.take() {
            assert!(pages.len() < MANY_PAGES, "pages without end");
            let page = Answer::to(self.http.get(at)).await.expect(200);
            url = next(&page).map(|path| self.root(&path));
            pages.push(page);
        }
        pages
    }

    /// All tags, page by page.
    pub async fn tags(&self) -> Vec<String> {
        self.pages("tags/list").await.iter().flat_map(entries).collect()
    }
}
