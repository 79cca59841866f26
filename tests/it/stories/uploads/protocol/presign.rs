//! `GET …/uploads/{uuid}?presigned=true`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::blob::Proof;
use serde_json::Value;

use super::NAME;
use crate::support::api::{Repository, content, database, digest_of, send, send_parts};
use crate::support::trial::Story;
use crate::support::{Stack, assert_answer};

const MIB: usize = 1 << 20;

type Query<'a> = &'a [(&'a str, &'a str)];

pub fn cases() -> Vec<Story> {
    vec![
        ("a_presigned_put_names_exactly_what_to_send", put),
        ("the_mode_follows_from_the_size_unless_it_is_asked_for", mode),
        ("parts_are_signed_by_range_again_and_again_and_what_arrived_is_told", multipart),
        ("what_was_declared_once_cannot_be_changed", redeclared),
        ("presigned_and_proxied_do_not_mix", mixed),
    ]
}

fn put(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = b"0123456789".to_vec();
        let digest = digest_of(&bytes);
        let upload = repository.begin().await;
        let signed = upload.sign(&[("size", "10"), ("digest", &digest.to_string())]).await;
        assert_answer!(signed.rendered(), @r#"
        200 OK
        cache-control: no-store
        content-type: application/json
        docker-distribution-api-version: registry/2.0
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
        assert_eq!(send(&upload.http, &signed.json(), bytes).await.status, 200);
        upload.finalize(&digest).await.expect(201);
        let db = database(&stack).await;
        let blob = db.find_blob(&digest).await.expect("the database answers").expect("a row");
        // As doctor says: no byte is read back on any of these stores.
        let doctor = stack.command(&["doctor", "--json"]).await;
        let report: Value = serde_json::from_str(&doctor.stdout).expect("JSON");
        let bound = report["proofs"].as_array().and_then(|proofs| proofs.first()).expect("proofs");
        assert_eq!(bound["upload"], "bound-put");
        assert_eq!((blob.size, blob.proof.as_str()), (10, bound["proof"].as_str().expect("a proof")));
        assert_ne!(blob.proof, Proof::ReadBack);

        // Nothing declared: nothing is bound but the content type.
        let bytes = content(3000);
        let upload = repository.begin().await;
        let signed = upload.sign(&[]).await.expect(200).json();
        let headers = serde_json::json!({ "content-type": "application/octet-stream" });
        assert_eq!(
            (&signed["headers"], &signed["size"], &signed["mode"]),
            (&headers, &Value::Null, &"put".into())
        );
        assert_eq!(send(&upload.http, &signed, bytes.clone()).await.status, 200);
        upload.finalize(&digest_of(&bytes)).await.expect(201);
        assert_eq!(stack.blob_bytes(&digest_of(&bytes)).await, Some(bytes));

        // The empty blob goes the same way.
        let upload = repository.begin().await;
        let signed = upload.sign(&[("size", "0")]).await.expect(200).json();
        assert_eq!(send(&upload.http, &signed, vec![]).await.status, 200);
        upload.finalize(&digest_of(b"")).await.expect(201);
        assert_eq!(stack.objects().await.len(), 3);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn mode(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let cases: [(Query<'_>, &str); 6] = [
            (&[("size", "104857599")], "put"),
            (&[("size", "104857600")], "multipart"),
            (&[], "put"),
            (&[("size", "1"), ("mode", "multipart")], "multipart"),
            (&[("size", "5368709120"), ("mode", "put")], "put"),
            (&[("size", "53687091200000")], "multipart"),
        ];
        for (query, mode) in cases {
            let upload = repository.begin().await;
            let signed = upload.sign(query).await.expect(200).json();
            assert_eq!(signed["mode"], mode, "{query:?}");
            assert_eq!(upload.state().await.expect(200).json()["mode"], mode, "{query:?}");
            if mode == "multipart" {
                let (part_size, count) = (signed["part_size"].as_u64(), signed["part_count"].as_u64());
                let all = part_size.expect("a size") * count.expect("a count");
                assert!(all >= query[0].1.parse().expect("a number") && count <= Some(10_000), "{query:?}");
            }
            assert_eq!(upload.abort().await.status, 204);
        }

        let refusals: [(Query<'_>, u16, &str, &str); 4] = [
            (&[("size", "5368709121"), ("mode", "put")], 413, "SIZE_INVALID", "mode=multipart"),
            (&[("size", "53687091200001")], 413, "SIZE_INVALID", "53687091200000"),
            (&[("mode", "multipart")], 400, "BLOB_UPLOAD_INVALID", "size="),
            (&[("size", "0"), ("mode", "multipart")], 400, "BLOB_UPLOAD_INVALID", "mode=put"),
        ];
        let upload = repository.begin().await;
        for (query, status, code, says) in refusals {
            let message = upload.sign(query).await.refused(status, code);
            assert!(message.contains(says), "{query:?}: {message}");
        }
        assert_eq!(upload.state().await.json()["status"], "pending", "a refused question changes nothing");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn multipart(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let bytes = content(11 * MIB);
        let size = bytes.len().to_string();
        let numbers = |signed: &Value, list: &str| -> Vec<u64> {
            signed[list]
                .as_array()
                .expect("a list")
                .iter()
                .filter_map(|part| part["part_number"].as_u64())
                .collect()
        };

        let asked = [("size", size.as_str()), ("mode", "multipart"), ("parts", "2-3")];
        let signed = upload.sign(&asked).await;
        assert_answer!(signed.rendered(), @r#"
        200 OK
        cache-control: no-store
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        {
          "expires_at": "<time>",
          "mode": "multipart",
          "part_count": 3,
          "part_size": 5242880,
          "parts": [
            {
              "headers": {
                "content-length": "5242880"
              },
              "offset": 5242880,
              "part_number": 2,
              "presigned_url": "<url>",
              "size": 5242880
            },
            {
              "headers": {
                "content-length": "1048576"
              },
              "offset": 10485760,
              "part_number": 3,
              "presigned_url": "<url>",
              "size": 1048576
            }
          ],
          "received": []
        }
        "#);
        let second = upload.sign(&[("parts", "2")]).await.expect(200).json();
        send_parts(&upload.http, &second, &bytes).await;

        // From here on the session alone knows size and mode: another machine needs nothing but the UUID.
        let rest = upload.sign(&[]).await.expect(200).json();
        assert_eq!((numbers(&rest, "parts"), numbers(&rest, "received")), (vec![1, 3], vec![2]));
        assert_eq!(rest["received"][0]["size"], 5 * MIB);
        let again = upload.sign(&[("parts", "1-3")]).await.expect(200).json();
        assert_eq!(numbers(&again, "parts"), [1, 2, 3], "asked for by number, also what has arrived");
        send_parts(&upload.http, &rest, &bytes).await;
        let none = upload.sign(&[]).await.expect(200).json();
        assert_eq!((numbers(&none, "parts"), numbers(&none, "received")), (vec![], vec![1, 2, 3]));
        // A part may be sent twice.
        send_parts(&upload.http, &second, &bytes).await;

        upload.finalize(&digest_of(&bytes)).await.expect(201);
        assert_eq!(stack.blob_hash(&digest_of(&bytes)).await, Some(digest_of(&bytes)));
        assert_eq!(stack.objects().await.len(), 1);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn redeclared(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(6 * MIB);
        let (size, digest) = (bytes.len().to_string(), digest_of(&bytes));
        let (right, wrong) = (digest.to_string(), digest_of(b"").to_string());
        for (mode, other_mode) in [("put", "multipart"), ("multipart", "put")] {
            let upload = repository.begin().await;
            let signed =
                upload.sign(&[("size", &size), ("digest", &right), ("mode", mode)]).await.expect(200);
            upload.sign(&[("size", "7")]).await.refused(400, "SIZE_INVALID");
            upload.sign(&[("digest", &wrong)]).await.refused(400, "DIGEST_INVALID");
            let message = upload.sign(&[("mode", other_mode)]).await.refused(400, "BLOB_UPLOAD_INVALID");
            assert!(message.contains("abort it and begin another"), "{message}");
            upload.sign(&[("size", &size), ("digest", &right), ("mode", mode)]).await.expect(200);

            let row = upload.row(&stack).await;
            assert_eq!((row.size, row.declared_digest), (Some(bytes.len() as u64), Some(digest)));
            let signed = signed.json();
            if mode == "put" {
                upload.sign(&[("parts", "1")]).await.refused(400, "BLOB_UPLOAD_INVALID");
                assert_eq!(send(&upload.http, &signed, bytes.clone()).await.status, 200);
            } else {
                send_parts(&upload.http, &signed, &bytes).await;
            }
            upload.finalize(&digest).await.expect(201);
        }
        assert_eq!(stack.objects().await.len(), 1);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn mixed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let upload = repository.begin().await;
        upload.patch(None, "first half, ").await.expect(202);
        let message = upload.sign(&[("size", "10")]).await.refused(400, "BLOB_UPLOAD_INVALID");
        assert!(message.contains("by proxied"), "{message}");
        upload.patch(None, "second half").await.expect(202);
        upload.finalize(&digest_of(b"first half, second half")).await.expect(201);

        for mode in ["put", "multipart"] {
            let upload = repository.begin().await;
            upload.sign(&[("size", "10"), ("mode", mode)]).await.expect(200);
            let message = upload.patch(None, "0123456789").await.refused(400, "BLOB_UPLOAD_INVALID");
            assert!(message.contains(&format!("by {mode}")), "{message}");
            assert_eq!(upload.abort().await.status, 204);
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}
