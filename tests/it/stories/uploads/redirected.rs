//! Stock clients that follow a redirect of the PUT which carries a blob: the bytes go to the bucket, and nobody tells
//! when they are there.

mod bytes;
mod ends;
mod refused;
mod settled;
mod who;

use futures_util::future::FutureExt;
use overside::domain::digest::Digest;
use reqwest::RequestBuilder;
use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use serde_json::json;

use crate::support::api::{Answer, Repository, Upload, content, digest_of};
use crate::support::image;
use crate::support::trial::Story;

const NAME: &str = "team/app";
/// As containerd 2.4.2 calls itself.
const CONTAINERD: &str = "containerd/2.4.2+unknown";
/// Just above what is redirected.
const SIZE: usize = (1 << 20) + 1;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_client_that_follows_sends_its_layers_to_the_bucket_and_pushes_the_manifest_at_once", |stack| {
            settled::by_a_manifest(stack).boxed()
        }),
        ("what_has_arrived_is_found_without_anybody_asking", |stack| settled::by_itself(stack).boxed()),
        ("whoever_asks_for_a_blob_has_what_arrived_of_it_proven", |stack| settled::by_a_look(stack).boxed()),
        ("a_blob_that_has_arrived_is_mounted", |stack| settled::by_a_mount(stack).boxed()),
        ("a_manifest_waits_for_what_is_proven_and_is_told_to_come_again", |stack| {
            settled::too_late(stack).boxed()
        }),
        ("what_a_replica_that_died_left_in_proof_is_proven_without_anybody_asking", |stack| {
            settled::left(stack).boxed()
        }),
        ("a_blob_is_found_among_many_uploads_of_it_that_came_to_nothing", |stack| {
            settled::among_many(stack).boxed()
        }),
        ("a_blob_that_is_pushed_twice_at_once_is_there_when_one_of_them_is", |stack| {
            settled::twice(stack).boxed()
        }),
        ("a_put_that_comes_again_after_its_bytes_is_read_before_it_is_answered", |stack| {
            settled::again(stack).boxed()
        }),
        ("a_push_goes_on_at_another_replica_after_a_kill_between_redirect_and_manifest", |stack| {
            settled::elsewhere(stack).boxed()
        }),
        ("other_bytes_are_refused_with_the_manifest_that_names_them", |stack| bytes::wrong(stack).boxed()),
        ("a_blob_that_never_arrives_is_unknown_at_once_and_welcome_later", |stack| {
            bytes::none(stack).boxed()
        }),
        ("the_bucket_takes_no_other_length", |stack| bytes::of_another_length(stack).boxed()),
        ("a_second_put_changes_nothing_that_is_published", |stack| bytes::replaced(stack).boxed()),
        ("nobody_is_redirected_who_is_not_known_to_follow", |stack| refused::unknown(stack).boxed()),
        ("what_is_small_or_has_begun_otherwise_passes_the_service", |stack| refused::small(stack).boxed()),
        ("an_administrator_turns_redirects_off_and_on", |stack| refused::turned_off(stack).boxed()),
        ("a_session_that_was_redirected_takes_nothing_else", |stack| refused::otherwise(stack).boxed()),
        ("a_full_project_refuses_before_it_redirects", |stack| refused::full(stack).boxed()),
        ("whoever_may_have_few_uploads_open_pushes_one_after_another", |stack| {
            who::one_after_another(stack).boxed()
        }),
        ("what_arrives_of_somebody_who_may_not_push_any_more_is_not_taken", |stack| {
            who::no_more(stack).boxed()
        }),
        ("a_redirected_upload_that_is_aborted_leaves_nothing_whatever_arrives", |stack| {
            ends::aborted(stack).boxed()
        }),
        ("a_redirected_upload_that_never_arrives_expires_and_gives_back_its_room", |stack| {
            ends::expired(stack).boxed()
        }),
    ]
}

/// The PUT that carries a whole blob, as containerd sends it.
fn put(upload: &Upload, bytes: &[u8], digest: &Digest) -> RequestBuilder {
    put_as(CONTAINERD, upload, bytes, digest)
}

fn put_as(agent: &str, upload: &Upload, bytes: &[u8], digest: &Digest) -> RequestBuilder {
    let query = [("digest", digest.to_string())];
    let put = upload.http.put(&upload.url).query(&query).header(USER_AGENT, agent);
    put.header(CONTENT_TYPE, "application/octet-stream").body(bytes.to_vec())
}

/// Where an upload of this blob is redirected to.
async fn redirect(upload: &Upload, bytes: &[u8], digest: &Digest) -> String {
    let redirected = Answer::to(put(upload, bytes, digest)).await.expect(307);
    assert!(redirected.body.is_empty());
    assert_eq!(redirected.header("connection"), Some("close"));
    redirected.header("location").expect("a Location").to_owned()
}

/// The same PUT, sent to where it was redirected: with no header but the client's own.
async fn follow(upload: &Upload, url: &str, bytes: &[u8]) -> Answer {
    let put = upload.http.put(url).header(USER_AGENT, CONTAINERD);
    Answer::to(put.header(CONTENT_TYPE, "application/octet-stream").body(bytes.to_vec())).await
}

/// Bytes that are in the bucket and that nobody has said so of.
async fn sent(repository: &Repository, bytes: &[u8]) -> (Upload, Digest) {
    let (upload, digest) = (repository.begin().await, digest_of(bytes));
    let url = redirect(&upload, bytes, &digest).await;
    follow(&upload, &url, bytes).await.expect(200);
    (upload, digest)
}

/// A manifest of these layers, with the empty config, which is pushed with it.
async fn push_manifest(repository: &Repository, layers: &[Digest]) -> Answer {
    let config = repository.push(b"{}").await;
    let layers: Vec<_> = layers
        .iter()
        .map(|digest| json!({ "mediaType": image::LAYER, "digest": digest, "size": SIZE }))
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": image::IMAGE,
        "config": { "mediaType": image::CONFIG, "digest": config, "size": 2 }, "layers": layers,
    });
    let url = repository.url("").replace("/blobs/", "/manifests/v1");
    let put = repository.http.put(url).header(USER_AGENT, CONTAINERD).header(CONTENT_TYPE, image::IMAGE);
    Answer::to(put.body(manifest.to_string())).await
}

async fn status(upload: &Upload) -> String {
    upload.state().await.expect(200).json()["status"].as_str().expect("a status").to_owned()
}

fn blob(seed: usize) -> Vec<u8> {
    content(SIZE + seed)
}
