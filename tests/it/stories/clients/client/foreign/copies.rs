//! From our own server to a foreign registry, back, and within it.

use std::sync::Arc;

use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::{Value, json};
use url::Url;

use super::skopeo;
use super::{open, repository};
use crate::support::api::{self, Answer, Repository};
use crate::support::command_line::{digest, host};
use crate::support::image::{self, EMPTY, Manifest, entries};
use crate::support::layout::{Layout, Packing};
use crate::support::{CommandLine, Stack};

const LAYERS: [usize; 2] = [6 << 20, 700];
const NAME: &str = "team/app";
const SIGNATURE: &str = "application/vnd.example.signature.v1";

/// An index of two platforms in a layout, tagged `v1`; its digest.
fn index(ours: &CommandLine) -> (Layout, Value) {
    let mut layout = Layout::new(ours.path("images"));
    let images = ["amd64", "arm64"].map(|name| layout.image(name, Packing::TarGzip, &LAYERS));
    let index = layout.index(&images);
    layout.tag("v1", index.clone());
    let digest = index["digest"].clone();
    (layout, digest)
}

/// What `--json` says of the blobs.
async fn copied(ours: &CommandLine, arguments: &[&str]) -> Value {
    let printed = ours.done(&[&["copy", "--json"], arguments].concat()).await;
    let result: Value = serde_json::from_str(printed.lines().last().expect("a result")).expect("JSON");
    assert_eq!(result["event"], "result", "{printed}");
    result["blobs"].clone()
}

pub async fn images(stack: Arc<Stack>) {
    let server = stack.server(&["--part-size", "5MiB"]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    let (layout, root) = index(&ours);
    let (here, there) = (format!("{NAME}:v1"), format!("{}:v1", repository(&open(), "app")));
    ours.done(&["push", "images", &here]).await;

    let printed = ours.done(&["copy", &here, &there]).await;
    assert_eq!(digest(&printed), root);
    skopeo::copy(&stack, &ours, &[], &format!("docker://{there}"), &skopeo::layout(&ours.path("seen"))).await;
    layout.assert_same_as(&ours.path("seen"));
    // What is there is not sent again, and does not come to mean something else.
    let again = copied(&ours, &[&here, &there]).await;
    assert_eq!((&again["sent"], &again["sent_bytes"]), (&0.into(), &0.into()));

    let back = copied(&ours, &[&there, "team/back:v1"]).await;
    assert_eq!(back["manifests"], 3, "{back}");
    let theirs = format!("docker://{}/team/back:v1", host(server.base_url()));
    skopeo::copy(&stack, &ours, &[], &theirs, &skopeo::layout(&ours.path("seen-back"))).await;
    layout.assert_same_as(&ours.path("seen-back"));
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());

    // One platform alone is another manifest than the tag has.
    let arm = ["copy", "--platform", "linux/arm64", &here, &there];
    let complaint = ours.failed(1, &arm).await;
    assert!(complaint.contains("--force") && complaint.contains("v1"), "{complaint}");
    let forced = ours.done(&[&arm[..], &["--force"]].concat()).await;
    assert_eq!(ours.done(&["pull", &there, "arm"]).await, format!("{} arm\n", digest(&forced)));
}

pub async fn mounted(stack: Arc<Stack>) {
    let ours = CommandLine::new(&stack, "ours", "http://127.0.0.1:9");
    let (layout, _) = index(&ours);
    let [from, to] = ["one", "other"].map(|name| format!("{}:v1", repository(&open(), name)));
    ours.done(&["push", "images", &from]).await;
    let blobs = copied(&ours, &[&from, &to]).await;
    assert_eq!((&blobs["mounted"], &blobs["sent"], &blobs["manifests"]), (&6.into(), &0.into(), &3.into()));
    let name = from.strip_suffix(":v1").expect("its tag");
    ours.done(&["rm", "--repository", "--yes", name]).await;
    ours.done(&["pull", &to, "back"]).await;
    layout.assert_same_as(&ours.path("back"));
}

/// An artifact that is about another: a signature with one layer.
async fn about(repository: &Repository, subject: &Manifest, text: &str) -> Manifest {
    repository.push(b"{}").await;
    repository.push(text.as_bytes()).await;
    let layer = image::descriptor("text/plain", text.as_bytes());
    let artifact = image::image(&image::descriptor(EMPTY, b"{}"), &[layer])
        .with("artifactType", SIGNATURE.into())
        .with("annotations", json!({ "text": text }))
        .with("subject", subject.descriptor());
    repository.put(artifact.digest(), &artifact).await.expect(201);
    artifact
}

pub async fn referrers(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    let source = Repository::of(server.base_url(), NAME);
    let image = source.tagged("v1").await;
    let signatures = [about(&source, &image, "signed").await, about(&source, &image, "and approved").await];
    // A signature of a signature.
    let notary = about(&source, &signatures[0], "seen").await;
    let registry = open();
    let name = repository(&registry, "signed");
    let (here, there) = (format!("{NAME}:v1"), format!("{name}:v1"));

    // Only on request.
    ours.done(&["copy", &here, &there]).await;
    assert_eq!(ours.done(&["tags", &name]).await, "v1\n");
    ours.done(&["copy", "--referrers", &here, &there]).await;
    let foreign = at(&registry, &name);
    assert_listed(&foreign, &image, &signatures).await;
    assert_listed(&foreign, &signatures[0], std::slice::from_ref(&notary)).await;
    let of_type = ours.done(&["referrers", &there, "--artifact-type", SIGNATURE]).await;
    let mut expected: Vec<_> = signatures.iter().map(|signature| signature.digest().to_string()).collect();
    expected.sort();
    assert_eq!(digests(&of_type), expected);
    assert_eq!(ours.done(&["referrers", &there, "--artifact-type", "text/none"]).await, "");
    // Noted once, however often it is copied.
    ours.done(&["copy", "--referrers", &here, &there]).await;
    assert_listed(&foreign, &image, &signatures).await;

    // Where the registry lists them itself, clients keep no list.
    ours.done(&["copy", "--referrers", &there, "team/back:v1"]).await;
    let back = Repository::of(server.base_url(), "team/back");
    assert_eq!(back.tags().await, ["v1"]);
    let page = back.list(&format!("referrers/{}", image.digest())).await.expect(200);
    let mut listed = entries(&page);
    listed.sort();
    assert_eq!(listed, expected);
    for manifest in signatures.iter().chain([&notary, &image]) {
        assert_eq!(back.get(manifest.digest()).await.expect(200).body, manifest.payload);
        let there = foreign.manifest(Method::GET, manifest.digest()).header(ACCEPT, image::IMAGE);
        assert_eq!(Answer::to(there).await.expect(200).body, manifest.payload);
    }
    assert_eq!(back.read(&api::digest_of(b"and approved")).await.text(), "and approved");
}

fn at(registry: &Url, name: &str) -> Repository {
    let path = name.split_once('/').expect("a path").1;
    Repository::of(registry.as_str().trim_end_matches('/'), path)
}

fn digests(printed: &str) -> Vec<String> {
    let mut digests: Vec<_> = printed.lines().map(|line| digest(line).to_owned()).collect();
    digests.sort();
    digests
}

/// These and no others are in the list that clients keep under the subject's own tag (distribution spec 1.1.1,
/// "Referrers Tag Schema"), with what is told of them.
async fn assert_listed(repository: &Repository, subject: &Manifest, referrers: &[Manifest]) {
    let tag = subject.digest().to_string().replace(':', "-");
    let list = repository.manifest(Method::GET, tag).header(ACCEPT, image::INDEX);
    let list = Answer::to(list).await.expect(200).json();
    assert_eq!(list["mediaType"], image::INDEX);
    let listed = list["manifests"].as_array().expect("a list");
    assert_eq!(listed.len(), referrers.len(), "{list}");
    for referrer in referrers {
        let digest = referrer.digest().to_string();
        let entry = listed.iter().find(|entry| entry["digest"] == digest).expect("an entry");
        let payload: Value = serde_json::from_slice(&referrer.payload).expect("JSON");
        assert_eq!(
            (&entry["artifactType"], entry["size"].as_u64()),
            (&SIGNATURE.into(), Some(referrer.payload.len() as u64))
        );
        assert_eq!(entry["annotations"], payload["annotations"]);
    }
}
