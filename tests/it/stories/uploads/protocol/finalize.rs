//! `PUT …/uploads/{uuid}?digest=`: what makes it succeed, and what the client is told when it does not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::upload::Status;
use serde_json::json;

use super::NAME;
use crate::support::api::{Answer, Repository, content, digest_of, send, send_parts};
use crate::support::trial::Story;
use crate::support::{Stack, assert_answer};

/// For a finalize of a few megabytes that goes on in the background.
const ASYNC_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

pub fn cases() -> Vec<Story> {
    vec![
        ("finalizing_takes_the_parts_named_or_looks_for_itself", parts),
        ("a_missing_part_is_named_and_can_still_be_sent", missing),
        ("a_wrong_digest_ends_the_session_and_leaves_nothing", wrong_digest),
        ("a_wrong_size_ends_the_session_and_leaves_nothing", wrong_size),
        ("finalizing_may_go_on_in_the_background", in_the_background),
        ("finalizing_twice_succeeds_twice_and_under_one_digest_only", twice),
    ]
}

fn parts(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(6 << 20);
        let digest = digest_of(&bytes);
        let query = [("size", "6291456"), ("mode", "multipart")];
        let upload = repository.begin().await;
        let signed = upload.sign(&query).await.expect(200).json();
        let named = send_parts(&upload.http, &signed, &bytes).await;

        let mut wrong = named.clone();
        wrong[1]["etag"] = json!("\"0123456789abcdef\"");
        let refused = upload.finalize_with(&digest, json!({ "parts": wrong }).to_string()).await;
        let message = refused.refused(400, "BLOB_UPLOAD_INVALID");
        assert!(message.contains("part 2 has another ETag"), "{message}");
        assert_eq!(upload.row(&stack).await.state.status(), Status::Uploading, "it goes on");
        assert_eq!(stack.objects().await, vec![]);

        let done = upload.finalize_with(&digest, json!({ "parts": named }).to_string()).await;
        assert_answer!(done.rendered().replace(&digest.to_string(), "<digest>"), @r"
        201 Created
        docker-content-digest: <digest>
        docker-distribution-api-version: registry/2.0
        docker-upload-uuid: <uuid>
        location: <origin>/v2/team/app/model/blobs/<digest>
        upload-uuid: <uuid>
        ");

        // ETags without their quotes, some parts only, an empty list, no body at all.
        for body in ["bare", "{\"parts\":[]}", "{}", ""] {
            let upload = repository.begin().await;
            let signed = upload.sign(&query).await.expect(200).json();
            let named = send_parts(&upload.http, &signed, &bytes).await;
            let bare = named[0]["etag"].as_str().expect("text").trim_matches('"');
            let bare = json!({ "parts": [{ "part_number": 1, "etag": bare }] }).to_string();
            let body = if body == "bare" { bare } else { body.to_owned() };
            upload.finalize_with(&digest, body).await.expect(201);
        }
        assert_eq!(stack.blob_hash(&digest).await, Some(digest));
        assert_eq!(stack.objects().await.len(), 1);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn missing(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let bytes = content(11 << 20);
        let digest = digest_of(&bytes);
        upload.sign(&[("size", "11534336"), ("mode", "multipart")]).await.expect(200);
        let message = upload.finalize(&digest).await.refused(400, "BLOB_UPLOAD_INVALID");
        assert!(message.contains("part 1, 2, 3;"), "{message}");

        let signed = upload.sign(&[("parts", "2-3")]).await.expect(200).json();
        let mut named = send_parts(&upload.http, &signed, &bytes).await;
        let message = upload.finalize(&digest).await.refused(400, "BLOB_UPLOAD_INVALID");
        assert!(message.contains("part 1;"), "{message}");
        // Saying that it was sent does not make it so.
        named.insert(0, json!({ "part_number": 1, "etag": "\"made-up\"" }));
        let claimed = upload.finalize_with(&digest, json!({ "parts": named }).to_string()).await;
        let message = claimed.refused(400, "BLOB_UPLOAD_INVALID");
        assert!(message.contains("part 1;"), "{message}");
        assert_eq!(stack.objects().await, vec![]);

        let signed = upload.sign(&[]).await.expect(200).json();
        assert_eq!(signed["parts"].as_array().map(Vec::len), Some(1));
        send_parts(&upload.http, &signed, &bytes).await;
        upload.finalize(&digest).await.expect(201);
        assert_eq!(stack.blob_hash(&digest).await, Some(digest));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn wrong_digest(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(6 << 20);
        let (wrong, right) = (digest_of(b"something else"), digest_of(&bytes));
        for way in ["put", "multipart", "proxied"] {
            let upload = repository.begin().await;
            match way {
                "put" => upload.put(&bytes).await,
                "multipart" => {
                    let signed = upload.sign(&[("size", "6291456"), ("mode", "multipart")]).await.expect(200);
                    send_parts(&upload.http, &signed.json(), &bytes).await;
                }
                _ => drop(upload.patch(None, bytes.clone()).await.expect(202)),
            }
            let first = upload.finalize(&wrong).await.refused(400, "DIGEST_INVALID");
            // What bytes are that went past the service is not told: they may be another's.
            let told = first.contains(&right.to_string());
            assert!(first.contains(&wrong.to_string()) && told == (way == "proxied"), "{way}: {first}");
            assert_eq!(stack.temp_leftovers().await, Vec::<String>::new(), "{way}");
            assert_eq!(upload.row(&stack).await.state.status(), Status::Failed, "{way}");
            // Too late, and in the same words.
            assert_eq!(upload.finalize(&wrong).await.refused(400, "DIGEST_INVALID"), first, "{way}");
            assert_eq!(upload.finalize(&right).await.refused(400, "DIGEST_INVALID"), first, "{way}");
            upload.sign(&[]).await.refused(400, "DIGEST_INVALID");
            upload.patch(None, "more").await.refused(400, "DIGEST_INVALID");
        }
        for digest in [wrong, right] {
            repository.read(&digest).await.refused(404, "BLOB_UNKNOWN");
        }
        assert_eq!(stack.objects().await, vec![]);
    }
    .boxed()
}

fn wrong_size(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        // The first URL is bound to no size; the size is declared only once the bytes are there.
        let unbound = upload.sign(&[]).await.expect(200).json();
        assert_eq!(send(&upload.http, &unbound, content(1000)).await.status, 200);
        upload.sign(&[("size", "999")]).await.expect(200);
        let first = upload.finalize(&digest_of(&content(1000))).await.refused(400, "SIZE_INVALID");
        assert!(first.contains("1000 bytes") && first.contains("999 were declared"), "{first}");
        let state = upload.state().await.json();
        assert_eq!((&state["status"], &state["failure"]["code"]), (&json!("failed"), &json!("SIZE_INVALID")));
        assert_eq!(upload.finalize(&digest_of(&content(1000))).await.refused(400, "SIZE_INVALID"), first);
        assert_eq!(stack.objects().await, vec![]);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn in_the_background(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(6 << 20);
        for (digest, status, last) in [(digest_of(b""), "failed", 400), (digest_of(&bytes), "completed", 201)]
        {
            let upload = repository.begin().await;
            let signed = upload.sign(&[("size", "6291456"), ("mode", "multipart")]).await.expect(200).json();
            send_parts(&upload.http, &signed, &bytes).await;
            let query = [("digest", digest.to_string())];
            let accepted =
                upload.http.put(&upload.url).query(&query).header("prefer", "wait=1, respond-async");
            assert_answer!(Answer::to(accepted).await.rendered(), @r"
            202 Accepted
            docker-distribution-api-version: registry/2.0
            docker-upload-uuid: <uuid>
            location: <origin>/v2/team/app/model/blobs/uploads/<uuid>
            preference-applied: respond-async
            upload-uuid: <uuid>
            ");
            let deadline = Instant::now() + ASYNC_LIMIT;
            loop {
                let state = upload.state().await.expect(200).json();
                if state["status"] != "finalizing" {
                    assert_eq!(state["status"], status);
                    break;
                }
                assert!(Instant::now() < deadline, "still finalizing");
                tokio::time::sleep(POLL).await;
            }
            assert_eq!(upload.finalize(&digest).await.status, last);
            // Temp bytes go after the commit that the state has shown.
            while !stack.temp_leftovers().await.is_empty() {
                assert!(Instant::now() < deadline, "{:?}", stack.temp_leftovers().await);
                tokio::time::sleep(POLL).await;
            }
        }
        assert_eq!(stack.objects().await.len(), 1);
        assert_eq!(repository.read(&digest_of(&bytes)).await.expect(200).body, bytes);
    }
    .boxed()
}

fn twice(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let upload = repository.begin().await;
        upload.put(b"0123456789").await;
        let digest = digest_of(b"0123456789");
        let first = upload.finalize(&digest).await.expect(201).rendered();
        assert_eq!(upload.finalize(&digest).await.rendered(), first);
        let message = upload.finalize(&digest_of(b"")).await.refused(400, "DIGEST_INVALID");
        assert!(message.contains(&digest.to_string()), "{message}");
        upload.sign(&[]).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
        upload.patch(None, "more").await.refused(404, "BLOB_UPLOAD_UNKNOWN");
        // The blob is not the session's any more.
        upload.abort().await.refused(404, "BLOB_UPLOAD_UNKNOWN");
        assert_eq!(repository.read(&digest).await.expect(200).body.as_ref(), b"0123456789");

        let no_digest = Answer::to(upload.http.put(&upload.url)).await.refused(400, "DIGEST_INVALID");
        assert!(no_digest.contains("?digest="), "{no_digest}");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}
