//! One of the images, and every way to push a blob.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::CONTENT_LENGTH;
use serde_json::{Value, json};

use super::{REPOSITORIES, Replicated, name};
use crate::support::api::{Answer, Repository, Upload, content, digest_of};
use crate::support::image::IMAGE;

/// Of an image's own layer, in bytes; and of one that has several parts.
const OWN_SIZE: usize = 60_000;
const LARGE_SIZE: usize = 6_000_000;
/// Every so many images have a large layer.
const LARGE_EVERY: usize = 25;

/// Two common layers, one of its own, and a config.
#[derive(Debug)]
pub struct Image {
    pub number: usize,
    replicas: Replicated,
    /// The config first.
    blobs: Vec<Bytes>,
    manifest: Bytes,
}

impl Image {
    pub fn new(number: usize, bases: &[Bytes], replicas: &Replicated) -> Self {
        let size = if number.is_multiple_of(LARGE_EVERY) { LARGE_SIZE } else { OWN_SIZE };
        let config = json!({ "architecture": "amd64", "os": "linux", "image": number }).to_string();
        // Neighbours in a repository differ in them, and any two in a row of those that it keeps have all of them.
        let first = number / REPOSITORIES;
        let [below, above] = [first, first + 1].map(|base| bases[base % bases.len()].clone());
        let blobs = vec![config.into(), below, above, content(size + number).into()];
        let descriptors: Vec<Value> = blobs
            .iter()
            .map(|blob| json!({ "mediaType": "a/b", "digest": digest_of(blob), "size": blob.len() }))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": IMAGE, "config": descriptors[0], "layers": descriptors[1..],
        });
        Self { number, replicas: replicas.clone(), blobs, manifest: manifest.to_string().into() }
    }

    pub fn blobs(&self) -> impl Iterator<Item = &Bytes> {
        self.blobs.iter()
    }

    pub async fn push(self: Arc<Self>) {
        let [one, other] = self.replicas();
        for (index, blob) in self.blobs.iter().enumerate() {
            // A common layer is pushed in every way, and each of its pushes is a mount from somewhere else.
            self.push_blob(one, other, blob, (self.number / 2 + index) % 5).await;
        }
        let pushed = other.put_as(self.tag(), Some(IMAGE), self.manifest.clone()).await.expect(201);
        assert_eq!(pushed.header("docker-content-digest"), Some(self.digest().as_str()));
    }

    async fn push_blob(&self, one: &Repository, other: &Repository, blob: &Bytes, way: usize) {
        let digest = digest_of(blob);
        match way {
            0 => drop(one.push(blob).await),
            1 => drop(one.begin().await.finalize_with(&digest, blob.clone()).await.expect(201)),
            2 => {
                let upload = one.begin().await;
                let (front, back) = (blob.slice(..blob.len() / 2), blob.slice(blob.len() / 2..));
                upload.patch(Some(&format!("0-{}", front.len() - 1)), front.clone()).await.expect(202);
                let range = format!("{}-{}", front.len(), blob.len() - 1);
                elsewhere(&upload, other).patch(Some(&range), back).await.expect(202);
                upload.finalize(&digest).await.expect(201);
            }
            3 => {
                let upload = one.begin().await;
                upload.put(blob).await;
                elsewhere(&upload, other).finalize(&digest).await.expect(201);
            }
            _ => {
                let from = name((self.number + 1) % REPOSITORIES);
                let query = [("mount", digest.to_string()), ("from", from)];
                let mount = one.http.post(one.url("uploads/")).query(&query).header(CONTENT_LENGTH, 0);
                let mounted = Answer::to(mount).await;
                // A repository that does not have it, or not any more, is no failure: the client goes on.
                if mounted.status != 201 {
                    let location = mounted.expect(202).header("location").expect("one").to_owned();
                    let upload = Upload { http: one.http.clone(), url: location };
                    upload.finalize_with(&digest, blob.clone()).await.expect(201);
                }
            }
        }
    }

    /// By its tag as well as by its digest.
    pub async fn delete(self: Arc<Self>) {
        let [one, other] = self.replicas();
        if self.number.is_multiple_of(3) {
            one.delete(self.tag()).await.expect(202);
        }
        other.delete(self.digest()).await.expect(202);
        one.get(self.tag()).await.refused(404, "MANIFEST_UNKNOWN");
    }

    /// Manifest and blobs, byte by byte, wherever they are asked for.
    pub async fn assert_readable(self: Arc<Self>) {
        let [_, one] = self.replicas();
        for reference in [self.tag(), self.digest()] {
            let manifest = one.get(&reference).await.expect(200);
            assert_eq!(manifest.header("content-type"), Some(IMAGE));
            assert_eq!(manifest.body, self.manifest);
        }
        for blob in &self.blobs {
            assert!(one.read(&digest_of(blob)).await.expect(200).body == blob, "image {}", self.number);
        }
    }

    /// What begins at the one ends at the other.
    fn replicas(&self) -> [&Repository; 2] {
        let [one, other] = &self.replicas;
        if self.number.is_multiple_of(2) { [one, other] } else { [other, one] }
    }

    fn tag(&self) -> String {
        format!("v{}", self.number)
    }

    fn digest(&self) -> String {
        digest_of(&self.manifest).to_string()
    }
}

/// The same session at the other replica.
fn elsewhere(upload: &Upload, other: &Repository) -> Upload {
    let path = &upload.url[upload.url.find("/v2/").expect("a path")..];
    Upload { http: other.http.clone(), url: other.root(path) }
}
