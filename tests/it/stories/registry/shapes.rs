//! What kinds of manifests are taken: all that clients push, and what they may come to push.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};

use super::NAME;
use crate::support::Stack;
use crate::support::api::{Answer, Repository, digest_of};
use crate::support::image::{
    DOCKER_IMAGE, DOCKER_LIST, EMPTY, IMAGE, INDEX, LAYER, Manifest, descriptor, entries, image, index,
};
use crate::support::trial::Story;

const ATTACHMENT: &str = "application/vnd.example.sbom.v1+json";

pub fn cases() -> Vec<Story> {
    vec![
        ("images_and_indexes_of_oci_and_docker_are_taken", images),
        ("artifacts_are_taken", artifacts),
        ("a_type_that_the_registry_does_not_know_is_taken_in_its_shape", unknown_types),
        ("a_parameter_without_a_value_is_not_given", empty_parameters),
        ("the_type_is_what_the_manifest_says_or_what_it_came_as", types),
    ]
}

/// Pushes a manifest by a tag and expects it back.
async fn taken(repository: &Repository, tag: &str, manifest: &Manifest) {
    let answer = repository.put(tag, manifest).await;
    assert_eq!(answer.status, 201, "{tag}: {}", answer.text());
    for reference in [tag.to_owned(), manifest.digest().to_string()] {
        let get = repository.get(&reference).await.expect(200);
        assert_eq!(get.header("content-type"), Some(manifest.media_type.as_str()), "{reference}");
        assert_eq!(get.body, manifest.payload, "{reference}");
    }
}

fn images(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let oci = repository.image("oci").await;
        taken(&repository, "oci", &oci).await;
        taken(&repository, "no-media-type", &oci.with("mediaType", Value::Null)).await;
        taken(&repository, "no-layers", &oci.with("layers", json!([]))).await;
        taken(&repository, "no-layers-field", &oci.with("layers", Value::Null)).await;
        // As Go writes a list that it has none of.
        let nothing = oci.with("layers", json!("none"));
        let nothing = String::from_utf8(nothing.payload.to_vec()).expect("JSON").replace("\"none\"", "null");
        taken(&repository, "null-layers", &Manifest { payload: nothing.into(), ..oci.clone() }).await;
        // The same layer twice, and content inside the descriptor.
        let layer: Value = serde_json::from_slice::<Value>(&oci.payload).expect("JSON")["layers"][0].clone();
        taken(&repository, "twice", &oci.with("layers", json!([layer, layer]))).await;
        let mut inline = descriptor(EMPTY, b"{}");
        inline["data"] = json!("e30=");
        repository.push(b"{}").await;
        taken(&repository, "data", &image(&inline, &[])).await;

        let docker = oci.with("mediaType", json!(DOCKER_IMAGE));
        let docker = Manifest { media_type: DOCKER_IMAGE.to_owned(), ..docker };
        taken(&repository, "docker", &docker).await;
        let platform = |of: &Manifest, architecture: &str| {
            let mut entry = of.descriptor();
            entry["platform"] = json!({ "os": "linux", "architecture": architecture });
            entry
        };
        let list = index(&[platform(&docker, "amd64")]).with("mediaType", json!(DOCKER_LIST));
        taken(&repository, "docker-list", &Manifest { media_type: DOCKER_LIST.to_owned(), ..list.clone() })
            .await;

        // Indexes: of images, of other indexes, of Docker's, of nothing.
        let inner = index(&[platform(&oci, "amd64"), platform(&docker, "arm64")]);
        taken(&repository, "index", &inner).await;
        let outer = index(&[inner.descriptor(), platform(&oci, "amd64")]);
        taken(&repository, "index-of-indexes", &outer).await;
        taken(&repository, "index-of-nothing", &index(&[])).await;
        taken(&repository, "index-without-media-type", &inner.with("mediaType", Value::Null)).await;
    }
    .boxed()
}

fn artifacts(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let (empty, content) = (descriptor(EMPTY, b"{}"), descriptor(ATTACHMENT, b"attached"));
        repository.push(b"{}").await;
        repository.push(b"attached").await;
        let artifact = image(&empty, std::slice::from_ref(&content)).with("artifactType", json!(ATTACHMENT));
        taken(&repository, "artifact", &artifact).await;
        // Nothing but annotations: the empty content stands in for the layer.
        let bare = artifact.with("layers", json!([empty])).with("annotations", json!({ "a": "b" }));
        taken(&repository, "bare", &bare).await;
        // The type of the config says what it is, as Helm and others do it.
        let chart = descriptor("application/vnd.cncf.helm.config.v1+json", b"{}");
        taken(&repository, "chart", &image(&chart, std::slice::from_ref(&content))).await;
        // An empty type is none (OCI distribution 1.1.1, "Listing Referrers").
        taken(&repository, "empty-type", &artifact.with("artifactType", json!(""))).await;
        taken(&repository, "index", &index(&[artifact.descriptor()]).with("artifactType", json!(ATTACHMENT))).await;
        // What the release candidates of OCI 1.1 had, and some clients still push.
        let manifest = "application/vnd.oci.artifact.manifest.v1+json";
        let candidate = json!({
            "mediaType": manifest, "artifactType": ATTACHMENT, "blobs": [content], "subject": artifact.descriptor(),
        });
        taken(&repository, "candidate", &Manifest::of(manifest, &candidate)).await;
    }
    .boxed()
}

fn unknown_types(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        repository.push(b"{}").await;
        let custom = "application/vnd.example.manifest.v3+json";
        let config = descriptor("application/vnd.example.config", b"{}");
        let manifest = Manifest::of(custom, &json!({ "config": config, "more": [1, { "a": 2 }] }));
        taken(&repository, "custom", &manifest).await;
        taken(
            &repository,
            "custom-index",
            &Manifest::of(custom, &json!({ "manifests": [manifest.descriptor()] })),
        )
        .await;
        taken(
            &repository,
            "custom-subject",
            &Manifest::of(custom, &json!({ "subject": manifest.descriptor() })),
        )
        .await;
        // They are held to what they refer to like any other.
        let missing = Manifest::of(custom, &json!({ "layers": [descriptor(LAYER, b"missing")] }));
        repository.put("missing", &missing).await.refused(404, "MANIFEST_BLOB_UNKNOWN");
        repository.delete_blob(&digest_of(b"{}")).await.refused(405, "DENIED");
    }
    .boxed()
}

fn types(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let said = repository.image("types").await;
        let unsaid = said.with("mediaType", Value::Null);
        let list = index(&[]).with("mediaType", Value::Null);
        // What it came as, what it says, and what it is.
        let cases = [
            (Some(IMAGE), &said, IMAGE),
            (None, &said, IMAGE),
            (None, &unsaid, IMAGE),
            (None, &list, INDEX),
            (Some(DOCKER_IMAGE), &unsaid, DOCKER_IMAGE),
            (Some(DOCKER_LIST), &list, DOCKER_LIST),
            (Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"), &said, IMAGE),
            (Some(" application/vnd.oci.image.manifest.v1+json ;a=b;c"), &said, IMAGE),
        ];
        for (content_type, manifest, expected) in cases {
            repository.put_as("v1", content_type, manifest.payload.clone()).await.expect(201);
            let digest = manifest.digest().to_string();
            for reference in ["v1", digest.as_str()] {
                let head = repository.head(reference).await.expect(200);
                assert_eq!(head.header("content-type"), Some(expected), "{content_type:?}");
            }
        }
        let others =
            [DOCKER_IMAGE, INDEX, "application/json", "application/octet-stream", "", "manifest", "a/b c"];
        for content_type in others {
            let refused = repository.put_as("v2", Some(content_type), said.payload.clone()).await;
            refused.refused(400, "MANIFEST_INVALID");
        }
        // An index is not taken for an image, nor the other way round.
        repository.put_as("v2", Some(IMAGE), list.payload.clone()).await.refused(400, "MANIFEST_INVALID");
        repository.put_as("v2", Some(INDEX), unsaid.payload.clone()).await.refused(400, "MANIFEST_INVALID");
        repository.get("v2").await.refused(404, "MANIFEST_UNKNOWN");
    }
    .boxed()
}

fn empty_parameters(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.tagged("v1").await;
        let subject = image.digest();
        let about = image.with("subject", image.descriptor());
        repository.put("about", &about).await.expect(201);

        for (path, listed) in [
            ("tags/list?n=&last=".to_owned(), vec!["about".to_owned(), "v1".to_owned()]),
            ("tags/list?n=1&n=".to_owned(), vec!["about".to_owned()]),
            (format!("referrers/{subject}?artifactType="), vec![about.digest().to_string()]),
        ] {
            assert_eq!(entries(&repository.list(&path).await.expect(200)), listed, "{path}");
        }
        for query in ["?digest=", "?mount=&from=", "?digest=&digest-algorithm=&presigned="] {
            let begin = repository.http.post(format!("{}{query}", repository.url("uploads/")));
            Answer::to(begin).await.expect(202);
        }
        let without = repository.url("uploads/");
        let begun = Answer::to(repository.http.post(without)).await.expect(202);
        let location = begun.header("location").expect("a place").to_owned();
        let put = repository.http.put(format!("{location}?digest=")).body("bytes");
        Answer::to(put).await.refused(400, "DIGEST_INVALID");
    }
    .boxed()
}
