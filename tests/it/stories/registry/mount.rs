//! `POST …/blobs/uploads/?mount=` without `from=`: whoever has the blob will do.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::blob::Proof;

use super::{NAME, proof, sha512_of};
use crate::support::Stack;
use crate::support::api::{Answer, Repository, Upload, content, digest_of};
use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_blob_is_mounted_from_wherever_it_is", anywhere),
        ("a_named_source_is_the_only_one_that_is_looked_at", named),
        ("what_cannot_be_mounted_is_uploaded_and_hashed_as_the_digest_said", fallback),
    ]
}

async fn mount(target: &Repository, query: &[(&str, &str)]) -> Answer {
    Answer::to(target.http.post(target.url("uploads/")).query(query)).await
}

fn anywhere(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let [source, second, target] =
            ["team/source", "team/second", NAME].map(|name| Repository::of(server.base_url(), name));
        let bytes = content(5000);
        for digest in [digest_of(&bytes), sha512_of(&bytes)] {
            let text = digest.to_string();
            let query = [("mount", text.as_str())];
            mount(&target, &query).await.expect(202);
            source.begin().await.finalize_with(&digest, bytes.clone()).await.expect(201);
            let mounted = mount(&target, &query).await.expect(201);
            assert_eq!(mounted.header("docker-content-digest"), Some(text.as_str()));
            assert_eq!(mounted.header("location"), Some(target.url(digest).as_str()));
            assert_eq!(mounted.header("docker-upload-uuid"), None, "there is nothing to upload");
            mount(&target, &query).await.expect(201);
            assert_eq!(target.read(&digest).await.expect(200).body, bytes);

            // From one that was itself mounted to, once the first is without it; and from nobody.
            for repository in [&source, &target] {
                mount(&second, &query).await.expect(201);
                Answer::to(repository.http.delete(repository.url(digest))).await.expect(202);
            }
            Answer::to(second.http.delete(second.url(digest))).await.expect(202);
            mount(&target, &query).await.expect(202);
            target.read(&digest).await.refused(404, "BLOB_UNKNOWN");
        }
        assert_eq!(
            stack.objects().await.len(),
            2,
            "a mount copies nothing, and a grace keeps what nobody has"
        );
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn named(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let [source, target] = ["team/source", NAME].map(|name| Repository::of(server.base_url(), name));
        let bytes = content(5000);
        let digest = sha512_of(&bytes);
        source.begin().await.finalize_with(&digest, bytes.clone()).await.expect(201);
        let text = digest.to_string();
        for from in ["team/other", "NO NAME", "-"] {
            mount(&target, &[("mount", &text), ("from", from)]).await.expect(202);
            target.read(&digest).await.refused(404, "BLOB_UNKNOWN");
        }
        mount(&target, &[("mount", &text), ("from", "team/source")]).await.expect(201);
        assert_eq!(target.read(&digest).await.expect(200).body, bytes);
        assert_eq!(stack.objects().await.len(), 1);
    }
    .boxed()
}

fn fallback(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let target = Repository::of(server.base_url(), NAME);
        let bytes = content(5000);
        let digest = sha512_of(&bytes);
        let begun = mount(&target, &[("mount", &digest.to_string())]).await.expect(202);
        let place = begun.header("location").expect("a place to go on at");
        let upload = Upload { url: place.to_owned(), http: target.http.clone() };
        upload.patch(None, bytes[..3000].to_vec()).await.expect(202);
        upload.finalize_with(&digest, bytes[3000..].to_vec()).await.expect(201);
        assert_eq!(proof(&stack, &digest).await, Some(Proof::Streamed));

        // A blob that comes along is taken all the same.
        let bytes = content(5001);
        let digest = sha512_of(&bytes).to_string();
        let query = [("mount", digest.as_str()), ("digest", digest.as_str())];
        let pushed = target.http.post(target.url("uploads/")).query(&query).body(bytes.clone());
        Answer::to(pushed).await.expect(201);
        assert_eq!(target.read(&sha512_of(&bytes)).await.expect(200).body, bytes);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}
