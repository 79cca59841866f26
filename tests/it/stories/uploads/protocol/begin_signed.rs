//! `POST …/blobs/uploads/?presigned=true`

use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::clock::Clock;
use overside::domain::digest::Digest;
use overside::domain::upload::{State, Transfer};
use reqwest::header::CONTENT_LENGTH;

use super::NAME;
use crate::support::api::{Answer, Repository, Upload, content, database, digest_of, send, send_parts};
use crate::support::trial::Story;
use crate::support::{Stack, assert_answer};

/// A part of 5 MiB and a short one.
const TWO_PARTS: usize = (5 << 20) + 1_000;

type Query<'a> = &'a [(&'a str, &'a str)];

pub fn cases() -> Vec<Story> {
    vec![
        ("one_request_begins_and_presigns_a_put", put),
        ("one_request_begins_and_presigns_parts", multipart),
        ("a_begin_that_cannot_be_presigned_leaves_no_session", refused),
        ("a_mount_or_a_body_keeps_its_meaning_beside_presigned", beside),
    ]
}

async fn post(repository: &Repository, query: Query<'_>) -> Answer {
    let post = repository.http.post(repository.url("uploads/")).query(&[("presigned", "true")]);
    Answer::to(post.query(query).header(CONTENT_LENGTH, 0)).await
}

fn upload(repository: &Repository, begun: &Answer) -> Upload {
    let id = begun.header("upload-uuid").expect("a name");
    Upload { http: repository.http.clone(), url: repository.url(format!("uploads/{id}")) }
}

fn put(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = b"0123456789".to_vec();
        let digest = digest_of(&bytes);
        let begun = post(&repository, &[("size", "10"), ("digest", &digest.to_string())]).await;
        assert_answer!(begun.rendered(), @r#"
        202 Accepted
        cache-control: no-store
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        docker-upload-uuid: <uuid>
        location: <origin>/v2/team/app/model/blobs/uploads/<uuid>
        oci-chunk-min-length: 8388608
        range: 0-0
        upload-uuid: <uuid>
        {
          "expires_at": "<time>",
          "headers": {
            "content-length": "10",
            "content-type": "application/octet-stream",
            "x-amz-checksum-sha256": "hNiYd/DUBB77a/kaFvAkjy/Vc+avBcGflr7bn4gveII="
          },
          "method": "PUT",
          "mode": "put",
          "presigned_url": "<url>",
          "size": 10
        }
        "#);
        let upload = upload(&repository, &begun);
        let row = upload.row(&stack).await;
        assert_eq!(row.state, State::Uploading { transfer: Transfer::Put, append_lease: None });
        assert_eq!(
            (row.size, row.declared_digest, row.revision),
            (Some(10), Some(digest), 0),
            "written once"
        );
        assert_eq!(send(&upload.http, &begun.json(), bytes.clone()).await.status, 200);
        // The same as a GET gives.
        let again = upload.sign(&[("size", "10"), ("digest", &digest.to_string())]).await.expect(200).json();
        let first = begun.json();
        for field in ["headers", "method", "mode", "size"] {
            assert_eq!(again[field], first[field], "{field}");
        }
        upload.finalize(&digest).await.expect(201);
        assert_eq!(stack.blob_bytes(&digest).await, Some(bytes));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn multipart(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(TWO_PARTS);
        let size = bytes.len().to_string();
        let begun = post(&repository, &[("size", &size), ("mode", "multipart"), ("parts", "1-2")]).await;
        let signed = begun.json();
        assert_eq!((begun.status, &signed["mode"]), (202, &"multipart".into()));
        assert_eq!((signed["part_count"].as_u64(), &signed["received"]), (Some(2), &serde_json::json!([])));
        let upload = upload(&repository, &begun);
        send_parts(&upload.http, &signed, &bytes).await;
        let digest = digest_of(&bytes);
        upload.finalize(&digest).await.expect(201);
        assert_eq!(stack.blob_bytes(&digest).await, Some(bytes));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn refused(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--max-blob-size", "1GiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let cases: [(Query<'_>, u16, &str); 6] = [
            (&[("size", "x")], 400, "BLOB_UPLOAD_INVALID"),
            (&[("mode", "chunked")], 400, "BLOB_UPLOAD_INVALID"),
            (&[("mode", "multipart")], 400, "BLOB_UPLOAD_INVALID"),
            (&[("size", "10"), ("parts", "1-2")], 400, "BLOB_UPLOAD_INVALID"),
            (&[("digest", "sha256:0")], 400, "DIGEST_INVALID"),
            (&[("size", "2000000000")], 413, "SIZE_INVALID"),
        ];
        let pending = repository.begin().await;
        for (query, status, code) in cases {
            let told = post(&repository, query).await.refused(status, code);
            assert_eq!(told, pending.sign(query).await.refused(status, code), "as a GET says");
        }
        pending.abort().await.expect(204);
        // Found out when the store has been asked: the session is taken back.
        let beyond = post(&repository, &[("size", "9"), ("mode", "multipart"), ("parts", "2-3")]).await;
        beyond.refused(400, "BLOB_UPLOAD_INVALID");

        let db = database(&stack).await;
        let living = db.count_due(Clock::System.now() + TimeDelta::days(365)).await;
        assert_eq!(living.expect("the database answers"), 0);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        db.close().await;
    }
    .boxed()
}

fn beside(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let digest = repository.push(b"published").await;
        let other = Repository::of(server.base_url(), "team/other");
        let mount = [("mount", &*digest.to_string()), ("from", NAME)];
        assert_eq!(post(&other, &mount).await.expect(201).body.len(), 0);
        // Nothing to mount: the client uploads instead, and knows where to.
        let absent = [("mount", &*Digest::from_sha256([7; 32]).to_string()), ("from", NAME), ("size", "3")];
        assert_eq!(post(&other, &absent).await.expect(202).json()["mode"], "put");

        let whole = repository.http.post(repository.url("uploads/")).body("whole");
        let query = [("presigned", "true"), ("digest", &digest_of(b"whole").to_string())];
        Answer::to(whole.query(&query)).await.expect(201);
        // No bytes are a whole blob, unless a URL for them is asked for.
        let empty = post(&repository, &[("digest", &Digest::EMPTY.to_string()), ("size", "0")]).await;
        let signed = empty.json();
        let upload = upload(&repository, &empty);
        assert_eq!(send(&upload.http, &signed, Vec::new()).await.status, 200);
        upload.finalize(&Digest::EMPTY).await.expect(201);
    }
    .boxed()
}
