//! `GET …/uploads/{uuid}`, plain and as JSON, in every status; and what is left of an aborted session.

use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::clock::Clock;
use overside::domain::upload::{Lease, Upload as Session};
use uuid::Uuid;

use super::NAME;
use crate::support::api::{Answer, Repository, Upload, content, database, digest_of};
use crate::support::trial::Story;
use crate::support::{Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![
        ("the_plain_state_is_a_range_and_the_json_state_is_everything", open),
        ("a_session_that_has_ended_says_how", ended),
        ("a_session_that_is_being_finalized_is_left_alone", finalizing),
        ("aborting_twice_is_as_good_as_once_and_leaves_nothing", aborted),
    ]
}

fn open(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let plain = async |upload: &Upload| Answer::to(upload.http.get(&upload.url)).await.rendered();
        let upload = repository.begin().await;
        assert_answer!(plain(&upload).await, @r"
        204 No Content
        docker-distribution-api-version: registry/2.0
        docker-upload-uuid: <uuid>
        location: <origin>/v2/team/app/model/blobs/uploads/<uuid>
        range: 0-0
        upload-uuid: <uuid>
        ");
        assert_answer!(upload.state().await.rendered(), @r#"
        200 OK
        cache-control: no-store
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        {
          "created_at": "<time>",
          "expires_at": "<time>",
          "repository_name": "team/app/model",
          "status": "pending",
          "upload_uuid": "<uuid>"
        }
        "#);

        upload.patch(None, "0123456789").await.expect(202);
        assert!(plain(&upload).await.contains("\nrange: 0-9\n"));
        assert_answer!(upload.state().await.rendered(), @r#"
        200 OK
        cache-control: no-store
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        {
          "created_at": "<time>",
          "expires_at": "<time>",
          "mode": "proxied",
          "received_offset": 10,
          "repository_name": "team/app/model",
          "status": "uploading",
          "upload_uuid": "<uuid>"
        }
        "#);

        let upload = repository.begin().await;
        upload.sign(&[("size", "10"), ("digest", &digest_of(b"").to_string())]).await.expect(200);
        assert!(plain(&upload).await.contains("\nrange: 0-0\n"));
        assert_answer!(upload.state().await.rendered(), @r#"
        200 OK
        cache-control: no-store
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        {
          "created_at": "<time>",
          "digest": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
          "expires_at": "<time>",
          "mode": "put",
          "repository_name": "team/app/model",
          "size": 10,
          "status": "uploading",
          "upload_uuid": "<uuid>"
        }
        "#);
    }
    .boxed()
}

fn ended(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let plain = async |upload: &Upload| Answer::to(upload.http.get(&upload.url)).await;

        let completed = repository.begin().await;
        completed.put(b"0123456789").await;
        completed.finalize(&digest_of(b"0123456789")).await.expect(201);
        assert_answer!(completed.state().await.rendered(), @r#"
        200 OK
        cache-control: no-store
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        {
          "created_at": "<time>",
          "digest": "sha256:84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882",
          "expires_at": "<time>",
          "repository_name": "team/app/model",
          "size": 10,
          "status": "completed",
          "upload_uuid": "<uuid>"
        }
        "#);
        plain(&completed).await.refused(404, "BLOB_UPLOAD_UNKNOWN");

        let failed = repository.begin().await;
        failed.put(b"0123456789").await;
        failed.finalize(&digest_of(b"")).await.refused(400, "DIGEST_INVALID");
        assert_answer!(failed.state().await.rendered(), @r#"
        200 OK
        cache-control: no-store
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        {
          "created_at": "<time>",
          "expires_at": "<time>",
          "failure": {
            "code": "DIGEST_INVALID",
            "message": "the uploaded bytes are not sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855; the upload has been discarded, begin another"
          },
          "repository_name": "team/app/model",
          "size": 10,
          "status": "failed",
          "upload_uuid": "<uuid>"
        }
        "#);
        plain(&failed).await.refused(400, "DIGEST_INVALID");

        let aborted = repository.begin().await;
        assert_eq!(aborted.abort().await.status, 204);
        assert_eq!(aborted.state().await.expect(200).json()["status"], "aborted");
        plain(&aborted).await.refused(404, "BLOB_UPLOAD_UNKNOWN");

        let expired = repository.begin().await;
        change(&stack, &expired, |session| session.expires_at -= TimeDelta::days(2)).await;
        plain(&expired).await.refused(410, "BLOB_UPLOAD_UNKNOWN");
        expired.state().await.refused(410, "BLOB_UPLOAD_UNKNOWN");
        expired.sign(&[("size", "1")]).await.refused(410, "BLOB_UPLOAD_UNKNOWN");
        expired.patch(None, "late").await.refused(410, "BLOB_UPLOAD_UNKNOWN");
        expired.finalize(&digest_of(b"late")).await.refused(410, "BLOB_UPLOAD_UNKNOWN");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn finalizing(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        upload.put(b"0123456789").await;
        // Another replica has it, with a lease that outlives this story.
        let (digest, now) = (digest_of(b"0123456789"), Clock::System.now());
        let lease = Lease { owner: Uuid::new_v4(), expires_at: now + TimeDelta::hours(1) };
        change(&stack, &upload, |session| {
            *session = session.clone().claim(digest.into(), lease, now).expect("it can be claimed");
        })
        .await;

        assert_eq!(upload.state().await.expect(200).json()["status"], "finalizing");
        assert_eq!(Answer::to(upload.http.get(&upload.url)).await.status, 204);
        upload.sign(&[("size", "10")]).await.refused(409, "BLOB_UPLOAD_INVALID");
        upload.patch(None, "more").await.refused(409, "BLOB_UPLOAD_INVALID");
        upload.abort().await.refused(409, "BLOB_UPLOAD_INVALID");
        let finalize = upload.http.put(&upload.url).query(&[("digest", digest.to_string())]);
        assert_eq!(Answer::to(finalize.header("prefer", "respond-async")).await.status, 202);
        assert_eq!(stack.objects().await, vec![]);

        // It died: its lease is over, and whoever asks next takes the work over.
        change(&stack, &upload, |session| {
            *session = session.clone().renew(Lease { expires_at: now, ..lease }).expect("the lease is ours");
        })
        .await;
        upload.finalize(&digest).await.expect(201);
        assert_eq!(stack.blob_bytes(&digest).await.as_deref(), Some(b"0123456789".as_slice()));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn aborted(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(6 << 20);
        for way in ["nothing", "put", "multipart", "proxied"] {
            let upload = repository.begin().await;
            match way {
                "put" => upload.put(&bytes).await,
                "multipart" => {
                    let query = [("size", "6291456"), ("mode", "multipart"), ("parts", "1")];
                    let signed = upload.sign(&query).await.expect(200).json();
                    crate::support::api::send_parts(&upload.http, &signed, &bytes).await;
                }
                "proxied" => drop(upload.patch(None, bytes.clone()).await.expect(202)),
                _ => {}
            }
            for _ in 0..2 {
                let gone = upload.abort().await;
                assert_eq!((gone.status, gone.body.len()), (204, 0), "{way}");
            }
            assert_eq!(stack.temp_leftovers().await, Vec::<String>::new(), "{way}");
            upload.sign(&[("size", "6291456")]).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
            upload.patch(None, "more").await.refused(404, "BLOB_UPLOAD_UNKNOWN");
            upload.finalize(&digest_of(&bytes)).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
        }
        assert_eq!(stack.objects().await, vec![]);
    }
    .boxed()
}

/// Changes a session's row behind the service's back, as another replica would.
async fn change(stack: &Stack, upload: &Upload, step: impl FnOnce(&mut Session)) {
    let db = database(stack).await;
    let before = db.find_upload(upload.id()).await.expect("the database answers").expect("a row");
    let mut after = before.clone();
    step(&mut after);
    assert!(db.swap_upload(&before, &after, Clock::System.now()).await.expect("the database answers"));
    db.close().await;
}
