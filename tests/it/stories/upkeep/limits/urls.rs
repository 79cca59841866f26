//! A presigned URL allows what it was signed for, and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;

use super::NAME;
use crate::support::Stack;
use crate::support::api::{Answer, Repository, content, digest_of, send};
use crate::support::trial::Story;

/// For a URL that lives a second, by clocks that may differ by little.
const EXPIRY_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);

pub fn cases() -> Vec<Story> {
    vec![
        ("a_presigned_put_takes_no_other_length_and_no_other_bytes", terms),
        ("a_presigned_url_that_was_changed_is_refused", changed),
        ("an_expired_presigned_url_is_refused_and_asking_again_gives_another", expired),
    ]
}

fn terms(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let upload = repository.begin().await;
        let bytes = content(1000);
        let digest = digest_of(&bytes);
        let signed =
            upload.sign(&[("size", "1000"), ("digest", &digest.to_string())]).await.expect(200).json();

        // The length is what the body really has; the headers are all there otherwise.
        for length in [999, 1001, 0] {
            let refused = send(&upload.http, &without(&signed, "content-length"), content(length)).await;
            assert!(
                matches!(refused.status, 400 | 403 | 411),
                "{length}: {} {}",
                refused.status,
                refused.text()
            );
        }
        // The right length, other bytes; with the right checksum promised, with their own, with none.
        let other = vec![7; 1000];
        let mut own = signed.clone();
        own["headers"]["x-amz-checksum-sha256"] = digest_of(&other).to_base64().into();
        for request in [&signed, &own, &without(&signed, "x-amz-checksum-sha256")] {
            let refused = send(&upload.http, request, other.clone()).await;
            assert!(matches!(refused.status, 400 | 403), "{} {}", refused.status, refused.text());
        }
        let multipart = repository.begin().await;
        let parts = multipart.sign(&[("size", "6291456"), ("mode", "multipart")]).await.expect(200).json();
        let last = without(&parts["parts"][1], "content-length");
        for length in [(1 << 20) - 1, (1 << 20) + 1] {
            let refused = send(&upload.http, &last, content(length)).await;
            assert!(matches!(refused.status, 400 | 403), "{length}: {} {}", refused.status, refused.text());
        }
        assert_eq!(multipart.sign(&[]).await.json()["received"], serde_json::json!([]));
        assert_eq!(multipart.abort().await.status, 204);

        assert_eq!(send(&upload.http, &signed, bytes.clone()).await.status, 200);
        upload.finalize(&digest).await.expect(201);
        assert_eq!(stack.blob_bytes(&digest).await, Some(bytes));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn changed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let (upload, other) = (repository.begin().await, repository.begin().await);
        other.sign(&[("size", "1000")]).await.expect(200);
        let signed = upload.sign(&[("size", "1000")]).await.expect(200).json();
        let url = signed["presigned_url"].as_str().expect("a URL").to_owned();
        let put = async |url: String| {
            let mut changed = signed.clone();
            changed["presigned_url"] = url.into();
            send(&upload.http, &changed, content(1000)).await
        };
        let (id, other_id) = (upload.id().to_string(), other.id().to_string());
        let mut forged = vec![
            url.replace(&id, &other_id),
            url.replace(&id, &id.to_uppercase()),
            url.replace("temp/", "blobs/").replace("/signed/", "/signed/x"),
            format!("{}0", &url[..url.len() - 1]),
            format!("{}1", &url[..url.len() - 1]),
            url.split('?').next().expect("a path").to_owned(),
        ];
        forged.retain(|forged| *forged != url);
        // Every field of the query, one by one: changed, and left out.
        let parsed = url::Url::parse(&url).expect("a URL");
        for (name, value) in parsed.query_pairs() {
            // Names the operation to AWS's own tools; nothing rests on it.
            if name == "x-id" {
                continue;
            }
            for replacement in [Some(format!("{value}1")), None] {
                let mut changed = parsed.clone();
                let pairs = parsed.query_pairs().filter_map(|(other, old)| match &replacement {
                    _ if other != name => Some((other, old)),
                    replacement => replacement.clone().map(|new| (other, new.into())),
                });
                changed.query_pairs_mut().clear().extend_pairs(pairs);
                forged.push(changed.into());
            }
        }
        for url in forged {
            let refused = put(url.clone()).await;
            assert!(
                matches!(refused.status, 400 | 401 | 403 | 404),
                "{url}: {} {}",
                refused.status,
                refused.text()
            );
        }
        // Signed for PUT: neither reads nor deletes.
        for request in [upload.http.get(&url), upload.http.delete(&url), upload.http.post(&url)] {
            let refused = Answer::to(request).await;
            assert!(matches!(refused.status, 403 | 405), "{} {}", refused.status, refused.text());
        }
        upload.finalize(&digest_of(&content(1000))).await.refused(400, "BLOB_UPLOAD_INVALID");
        other.finalize(&digest_of(&content(1000))).await.refused(400, "BLOB_UPLOAD_INVALID");
        assert_eq!(stack.objects().await, vec![]);

        // A part's URL writes that part of that upload.
        let multipart = repository.begin().await;
        let parts = multipart.sign(&[("size", "15728640"), ("mode", "multipart")]).await.expect(200).json();
        let mut first = parts["parts"][0].clone();
        let url = first["presigned_url"].as_str().expect("a URL").to_owned();
        let second = url
            .replace("partNumber=1", "partNumber=2")
            .replace(&format!("{}/1?", multipart.id()), &format!("{}/2?", multipart.id()));
        assert_ne!(second, url);
        for url in [second, url.replace(&multipart.id().to_string(), &id)] {
            first["presigned_url"] = url.into();
            let refused = send(&upload.http, &first, content(5 << 20)).await;
            assert!(matches!(refused.status, 400 | 403 | 404), "{} {}", refused.status, refused.text());
        }
        assert_eq!(multipart.sign(&[]).await.json()["received"], serde_json::json!([]));
        for upload in [upload, other, multipart] {
            assert_eq!(upload.abort().await.status, 204);
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn expired(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--url-lifetime", "1s"]).await;
        let renewing = stack.server(&[]).await;
        let mut upload = Repository::of(server.base_url(), NAME).begin().await;
        let signed = upload.sign(&[("size", "1000")]).await.expect(200).json();
        let deadline = Instant::now() + EXPIRY_LIMIT;
        loop {
            let answer = send(&upload.http, &signed, content(1000)).await;
            if answer.status == 403 {
                break;
            }
            assert!(answer.status == 200 && Instant::now() < deadline, "{} {}", answer.status, answer.text());
            tokio::time::sleep(POLL).await;
        }
        upload.url = upload.url.replace(server.base_url(), renewing.base_url());
        upload.put(&content(1000)).await;
        upload.finalize(&digest_of(&content(1000))).await.expect(201);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn without(signed: &Value, header: &str) -> Value {
    let mut signed = signed.clone();
    signed["headers"].as_object_mut().expect("headers").remove(header);
    signed
}
