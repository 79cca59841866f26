//! `GET …/referrers/{digest}`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::digest::Digest;
use serde_json::{Value, json};

use super::NAME;
use crate::support::api::{Answer, Repository, digest_of};
use crate::support::image::{EMPTY, IMAGE, Manifest, descriptor, entries, image, index, next};
use crate::support::trial::Story;
use crate::support::{Stack, assert_answer};

const SIGNATURE: &str = "application/vnd.example.signature.v1+json";
const SBOM: &str = "application/vnd.example.sbom.v1";
/// What clients read of a manifest, and so of a list of referrers.
const LARGEST: usize = 4 * 1024 * 1024;

pub fn cases() -> Vec<Story> {
    vec![
        ("nothing_refers_to_what_nobody_knows", nothing),
        ("referrers_are_told_with_their_types_and_annotations", told),
        ("referrers_are_filtered_by_their_type", filtered),
        ("referrers_are_listed_a_page_at_a_time_with_the_filter_kept", paged),
        ("referrers_come_and_go_whether_or_not_their_subject_is_there", come_and_go),
        ("pages_of_referrers_stay_as_small_as_a_manifest", large),
    ]
}

/// An artifact about something, like no other of its number.
fn about(subject: &Manifest, artifact_type: &str, number: usize) -> Manifest {
    let artifact = image(&descriptor(EMPTY, b"{}"), &[descriptor(EMPTY, b"{}")]);
    let artifact = artifact.with("artifactType", json!(artifact_type)).with("subject", subject.descriptor());
    artifact.with("annotations", json!({ "org.example.number": number.to_string() }))
}

async fn pushed(repository: &Repository, manifest: &Manifest) -> String {
    repository.put(manifest.digest(), manifest).await.expect(201);
    manifest.digest().to_string()
}

fn path(subject: &Digest, query: &str) -> String {
    format!("referrers/{subject}{query}")
}

fn nothing(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let unknown = index(&[]);
        for subject in [unknown.digest(), unknown.sha512()] {
            assert_answer!(repository.list(&path(&subject, "")).await.rendered(), @r#"
            200 OK
            content-type: application/vnd.oci.image.index.v1+json
            docker-distribution-api-version: registry/2.0
            {
              "manifests": [],
              "mediaType": "application/vnd.oci.image.index.v1+json",
              "schemaVersion": 2
            }
            "#);
        }
        let tagged = repository.tagged("v1").await;
        let answer = repository.list(&path(&tagged.digest(), "?n=5")).await.expect(200);
        assert_eq!((entries(&answer).len(), next(&answer)), (0, None));
        for bad in ["sha256:abc", "sha256:", "v1", "latest", &format!("md5:{}", "a".repeat(32))] {
            repository.list(&format!("referrers/{bad}")).await.refused(400, "DIGEST_INVALID");
        }
        Repository::of(server.base_url(), "NO")
            .list(&path(&unknown.digest(), ""))
            .await
            .refused(400, "NAME_INVALID");
    }
    .boxed()
}

fn told(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        repository.push(b"{}").await;
        let subject = index(&[]);
        // An artifact; an image that its config tells the type of, also where its own is empty; two indexes.
        let signature = about(&subject, SIGNATURE, 1);
        let bare = image(&descriptor(SBOM, b"{}"), &[]).with("subject", subject.descriptor());
        let empty = bare.with("artifactType", json!(""));
        let list = index(&[]).with("subject", subject.descriptor());
        let typed = list.with("artifactType", json!(SBOM)).with("annotations", json!({}));
        let odd = json!({ "": "", "ä\u{0}": "\u{2028}\"\\\n😀" });
        let odd = signature.with("annotations", odd);
        let mut expected = Vec::new();
        for (manifest, artifact_type) in [
            (&signature, json!(SIGNATURE)),
            (&bare, json!(SBOM)),
            (&empty, json!(SBOM)),
            (&list, Value::Null),
            (&typed, json!(SBOM)),
            (&odd, json!(SIGNATURE)),
        ] {
            pushed(&repository, manifest).await;
            let mut entry = manifest.descriptor();
            let content: Value = serde_json::from_slice(&manifest.payload).expect("JSON");
            if !artifact_type.is_null() {
                entry["artifactType"] = artifact_type;
            }
            if content["annotations"].as_object().is_some_and(|annotations| !annotations.is_empty()) {
                entry["annotations"] = content["annotations"].clone();
            }
            expected.push(entry);
        }
        expected.sort_by_key(|entry| entry["digest"].as_str().map(str::to_owned));
        let listed = repository.list(&path(&subject.digest(), "")).await.expect(200);
        assert_eq!(listed.header("content-type"), Some("application/vnd.oci.image.index.v1+json"));
        assert_eq!(listed.header("oci-filters-applied"), None);
        assert_eq!(listed.json()["manifests"], json!(expected));
        // Whatever it is told as, it can be pulled by.
        for digest in entries(&listed) {
            let get = repository.get(&digest).await.expect(200);
            assert_eq!(digest_of(&get.body).to_string(), digest);
        }
    }
    .boxed()
}

fn filtered(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        repository.push(b"{}").await;
        let subject = index(&[]);
        let signature = pushed(&repository, &about(&subject, SIGNATURE, 1)).await;
        let sbom = pushed(&repository, &about(&subject, SBOM, 2)).await;
        let by_config = image(&descriptor(SBOM, b"{}"), &[]).with("subject", subject.descriptor());
        let by_config = pushed(&repository, &by_config).await;
        let list = async |artifact_type: &str| {
            let url = repository.at(&path(&subject.digest(), ""));
            Answer::to(repository.http.get(url).query(&[("artifactType", artifact_type)])).await
        };
        let signatures = list(SIGNATURE).await;
        assert_answer!(signatures.rendered(), @r#"
        200 OK
        content-type: application/vnd.oci.image.index.v1+json
        docker-distribution-api-version: registry/2.0
        oci-filters-applied: artifactType
        {
          "manifests": [
            {
              "annotations": {
                "org.example.number": "1"
              },
              "artifactType": "application/vnd.example.signature.v1+json",
              "digest": "sha256:1192de162b805c95af16c4453c3a51b29a792ee02a035d97ee8ab9ef3266a677",
              "mediaType": "application/vnd.oci.image.manifest.v1+json",
              "size": 639
            }
          ],
          "mediaType": "application/vnd.oci.image.index.v1+json",
          "schemaVersion": 2
        }
        "#);
        assert_eq!(entries(&signatures), [signature]);
        let mut expected = [sbom, by_config];
        expected.sort_unstable();
        assert_eq!(entries(&list(SBOM).await), expected);
        assert_eq!(entries(&list(&SBOM.to_uppercase()).await), expected, "upper case means the same");
        // Nothing of that type, and no other that only looks alike.
        for none in ["application/vnd.example", "a/b"] {
            let answer = list(none).await;
            assert_eq!(answer.header("oci-filters-applied"), Some("artifactType"));
            assert_eq!(entries(&answer), Vec::<String>::new(), "{none}");
        }
        // An empty filter is none.
        let all = list("").await;
        assert_eq!((all.header("oci-filters-applied"), entries(&all).len()), (None, 3));
        // A plus in a query is often meant as one: no type has a space.
        let plain = repository.list(&path(&subject.digest(), &format!("?artifactType={SIGNATURE}"))).await;
        assert_eq!(entries(&plain), entries(&signatures));
        assert_eq!(list("no type").await.status, 400);
    }
    .boxed()
}

fn paged(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        repository.push(b"{}").await;
        let subject = index(&[]);
        let (mut signatures, mut all) = (Vec::new(), Vec::new());
        for number in 0..9 {
            let artifact_type = if number % 3 == 0 { SBOM } else { SIGNATURE };
            let digest = pushed(&repository, &about(&subject, artifact_type, number)).await;
            all.push(digest.clone());
            if artifact_type == SIGNATURE {
                signatures.push(digest);
            }
        }
        all.sort_unstable();
        signatures.sort_unstable();
        for n in 1..=10 {
            let pages = repository.pages(&path(&subject.digest(), &format!("?n={n}"))).await;
            assert_eq!(pages.iter().flat_map(entries).collect::<Vec<_>>(), all);
            assert_eq!(pages.len(), all.len().div_ceil(n), "n={n}");
            let query = format!("?n={n}&artifactType={}", SIGNATURE.replace('+', "%2B"));
            let pages = repository.pages(&path(&subject.digest(), &query)).await;
            assert_eq!(pages.iter().flat_map(entries).collect::<Vec<_>>(), signatures);
            for page in &pages {
                assert_eq!(page.header("oci-filters-applied"), Some("artifactType"));
            }
        }
        let none = repository.list(&path(&subject.digest(), "?n=0")).await.expect(200);
        assert_eq!((entries(&none).len(), next(&none)), (0, None));
        for query in ["?n=-1", "?n=x", "?n=1&n=2"] {
            repository.list(&path(&subject.digest(), query)).await.refused(400, "PAGINATION_NUMBER_INVALID");
        }
        repository.list(&path(&subject.digest(), "?last=v1")).await.refused(400, "DIGEST_INVALID");
    }
    .boxed()
}

fn come_and_go(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let other = Repository::of(server.base_url(), "team/other");
        repository.push(b"{}").await;
        other.push(b"{}").await;
        let subject = repository.image("subject").await;
        let list = async |subject: &Digest| entries(&repository.list(&path(subject, "")).await.expect(200));

        let first = about(&subject, SIGNATURE, 1);
        pushed(&repository, &first).await;
        pushed(&other, &about(&subject, SIGNATURE, 2)).await;
        let before = list(&subject.digest()).await;
        assert_eq!(before, [first.digest().to_string()], "not those of another repository");
        repository.put("v1", &subject).await.expect(201);
        assert_eq!(list(&subject.digest()).await, before);
        // By the name that it was given, and no other of the same bytes.
        let long = json!({ "mediaType": IMAGE, "digest": subject.sha512(), "size": subject.payload.len() });
        let second = about(&subject, SIGNATURE, 3).with("subject", long);
        pushed(&repository, &second).await;
        assert_eq!(list(&subject.sha512()).await, [second.digest().to_string()]);
        assert_eq!(list(&subject.digest()).await, before);
        // A referrer may have referrers itself, and be known by a longer name.
        let third = about(&first, SIGNATURE, 4);
        repository.put(third.sha512(), &third).await.expect(201);
        assert_eq!(list(&first.digest()).await, [third.sha512().to_string()]);
        assert_eq!(list(&subject.digest()).await, before);

        repository.delete(subject.digest()).await.expect(202);
        assert_eq!(list(&subject.digest()).await, before);
        repository.delete(first.digest()).await.expect(202);
        assert_eq!(list(&subject.digest()).await, Vec::<String>::new());
        pushed(&repository, &first).await;
        assert_eq!(list(&subject.digest()).await, before);
    }
    .boxed()
}

fn large(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        repository.push(b"{}").await;
        let subject = index(&[]);
        // Some small, some of about a mebibyte, two as large as a manifest may be; some in long characters.
        let kibibytes = [0, 1024, 0, 1024, 1024, 4000, 1024, 0, 2000, 4000, 1024, 0];
        let mut expected = Vec::new();
        for (number, kibibytes) in kibibytes.into_iter().enumerate() {
            let text =
                if number % 2 == 0 { "😀".repeat(kibibytes * 256) } else { "x".repeat(kibibytes * 1024) };
            let manifest = about(&subject, SIGNATURE, number);
            let manifest =
                manifest.with("annotations", json!({ "text": text, "number": number.to_string() }));
            expected.push(pushed(&repository, &manifest).await);
        }
        expected.sort_unstable();
        for query in ["", "?n=5", "?n=1", &format!("?artifactType={}", SIGNATURE.replace('+', "%2B"))] {
            let pages = repository.pages(&path(&subject.digest(), query)).await;
            assert_eq!(pages.iter().flat_map(entries).collect::<Vec<_>>(), expected, "{query}");
            let sizes: Vec<_> = pages.iter().map(|page| page.body.len()).collect();
            assert!(sizes.iter().all(|size| *size <= LARGEST), "{query}: {sizes:?}");
            // What goes on a page is put there: no two neighbours would fit on one by far.
            assert!(
                sizes.windows(2).all(|pair| pair[0] + pair[1] > LARGEST / 4 || query.contains("n=")),
                "{sizes:?}"
            );
        }
    }
    .boxed()
}
