//! Names, digests, UUIDs and query values that are none.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::digest::Digest;
use overside::domain::upload::UploadId;

use super::NAME;
use crate::support::api::{Answer, Repository, digest_of};
use crate::support::trial::Story;
use crate::support::{Stack, raw};

pub fn cases() -> Vec<Story> {
    vec![
        ("a_malformed_digest_is_refused_wherever_it_stands", digests),
        ("a_malformed_name_is_refused_and_leads_nowhere", names),
        ("a_session_of_another_repository_is_as_good_as_none", uuids),
        ("a_malformed_query_is_refused_and_changes_nothing", queries),
        ("a_malformed_finalize_body_is_refused_and_the_upload_goes_on", bodies),
    ]
}

fn digests(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let (upload, http) = (repository.begin().await, &repository.http);
        let hex = Digest::EMPTY.hex();
        let upper = format!("sha256:{}", hex.to_uppercase());
        let malformed = [
            "sha256:",
            "sha256",
            &hex,
            &format!("sha256:{}", &hex[1..]),
            &format!("sha256:{hex}0"),
            &upper,
            &format!("SHA256:{hex}"),
            &format!("sha512:{hex}"),
            &format!("md5:{}", &hex[..32]),
            &format!("sha256:{}g", &hex[1..]),
            &format!(" sha256:{hex}"),
            &format!("sha256:{hex}\n"),
            "sha256:../../../../etc/passwd",
            "sha256:é",
            &format!("sha256:{}", "a".repeat(10_000)),
        ]
        .map(str::to_owned);
        for digest in malformed {
            let shown = digest.chars().take(90).collect::<String>();
            let query = [("digest", digest.as_str())];
            let answers = [
                Answer::to(http.post(repository.url("uploads/")).query(&query)).await,
                Answer::to(http.get(&upload.url).query(&[("presigned", "true")]).query(&query)).await,
                Answer::to(http.put(&upload.url).query(&query).body("bytes")).await,
            ];
            for answer in answers {
                let message = answer.refused(400, "DIGEST_INVALID");
                assert!(message.contains("sha256") && message.len() < 200, "{shown}: {message}");
            }
            // What cannot be mounted can be uploaded.
            Answer::to(http.post(repository.url("uploads/")).query(&[("mount", &digest)])).await.expect(202);
            // In a path it is escaped as a whole; with slashes in it, it is another path.
            let escaped: String = url::form_urlencoded::byte_serialize(digest.as_bytes()).collect();
            let answer = Answer::to(http.get(repository.url(escaped.replace('+', "%20")))).await;
            assert!(matches!(answer.status, 400 | 404), "{shown}: {}", answer.status);
        }
        assert_eq!(upload.state().await.json()["status"], "pending");
        let none = Answer::to(http.put(&upload.url).body("bytes")).await;
        none.refused(400, "DIGEST_INVALID");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn names(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let http = crate::support::http();
        let long = "a".repeat(256);
        let refused = [
            "Upper",
            "a/Upper",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a/-b",
            "a%00b",
            "a%20b",
            "%C3%A9",
            "a%2F..%2Fb",
            "a/%2e%2e%2fb",
            "..%2F..%2Fetc",
            "%2e%2e/x",
            "a%0d%0ab",
            "a//b",
            "a/",
            "a:b",
            "a@b",
            "a%25b",
            &long,
        ];
        for name in refused {
            // The client's own URL parser would tidy the dots away: sent as they stand.
            let path = format!("/v2/{name}/blobs/uploads/");
            let answer = raw::exchange(server.base_url(), &raw::request("POST", &path, "")).await;
            assert!(
                answer.starts_with("HTTP/1.1 400 ") && answer.contains("NAME_INVALID"),
                "{name}: {answer}"
            );
        }
        for (path, status) in [
            ("/v2/../v2/a/blobs/uploads/", "400"),
            ("/v2/a/../../../etc/passwd", "404"),
            ("/v2/a/blobs/../../etc/passwd", "404"),
            ("/v2/a/blobs/..%2f..%2fetc%2fpasswd", "404"),
            ("/v2/%ff/blobs/uploads/", "404"),
            ("/%2e%2e/%2e%2e/etc/passwd", "404"),
            ("/signed/..%2f..%2f..%2fetc%2fpasswd?expires=1&signature=00", "40"),
        ] {
            for method in ["GET", "PUT"] {
                let answer = raw::exchange(server.base_url(), &raw::request(method, path, "x")).await;
                assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path}: {answer}");
                assert!(!answer.contains("root:"), "{path}");
            }
        }
        // As long as a name may be, and with the most segments.
        for name in ["a".repeat(255), format!("a{}", "/a".repeat(127)), "0/a.b_c__d---e/f".to_owned()] {
            let repository = Repository::of(server.base_url(), &name);
            let digest = repository.push(name.as_bytes()).await;
            assert_eq!(repository.read(&digest).await.expect(200).body, name.as_bytes());
            Answer::to(http.delete(repository.url(digest))).await.expect(202);
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn uuids(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let ours = Repository::of(server.base_url(), NAME);
        let theirs = Repository::of(server.base_url(), "somebody/else");
        let upload = ours.begin().await;
        upload.put(b"ours").await;
        let id = upload.id().to_string();
        let mut foreign = upload.clone();
        let unknown = [
            id.clone(),
            UploadId::generate().to_string(),
            id.to_uppercase(),
            id.replace('-', ""),
            format!("{{{id}}}"),
            format!("{id}0"),
            id[1..].to_owned(),
            "0".to_owned(),
            "%00".to_owned(),
            "a".repeat(5000),
        ];
        let mut told = Vec::new();
        for id in unknown {
            foreign.url = theirs.url(format!("uploads/{id}"));
            let answers = [
                foreign.state().await,
                foreign.sign(&[("size", "4")]).await,
                foreign.patch(None, "mine now").await,
                foreign.finalize(&digest_of(b"ours")).await,
                foreign.abort().await,
            ];
            told.push(answers.map(|answer| answer.refused(404, "BLOB_UPLOAD_UNKNOWN")));
        }
        assert!(
            told.iter().all(|messages| *messages == told[0]),
            "nothing tells a foreign one from none: {told:?}"
        );
        upload.finalize(&digest_of(b"ours")).await.expect(201);
        theirs.read(&digest_of(b"ours")).await.refused(404, "BLOB_UNKNOWN");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn queries(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let upload = repository.begin().await;
        let get = async |query: &str| Answer::to(upload.http.get(format!("{}?{query}", upload.url))).await;
        for query in [
            "size=-1",
            "size=%2B5",
            "size=1e9",
            "size=0x10",
            "size=1.0",
            "size=%201",
            "size=1_000",
            "size=18446744073709551616",
            "size=%D9%A1",
            "size=1&size=1",
            "mode=foo",
            "mode=PUT",
            "mode=proxied",
            "mode=put&mode=put",
            "size=9&parts=0-1&mode=multipart",
            "size=9&parts=5-1&mode=multipart",
            "size=9&parts=1-&mode=multipart",
            "size=9&parts=-1&mode=multipart",
            "size=9&parts=a&mode=multipart",
            "size=9&parts=1-10001&mode=multipart",
            "size=9&parts=%2B1&mode=multipart",
            "size=9&parts=1&parts=1&mode=multipart",
            "size=9&parts=1,2&mode=multipart",
            "size=9&parts=1&mode=put",
        ] {
            let message = get(&format!("presigned=true&{query}")).await.refused(400, "BLOB_UPLOAD_INVALID");
            assert!(message.len() < 200, "{query}: {message}");
            assert_eq!(upload.state().await.json()["status"], "pending", "{query}");
        }
        for query in ["presigned=maybe", "presigned=TRUE", "presigned=true&presigned=true"] {
            get(query).await.refused(400, "BLOB_UPLOAD_INVALID");
        }
        let twice = format!("presigned=true&digest={0}&digest={0}", Digest::EMPTY);
        get(&twice).await.refused(400, "BLOB_UPLOAD_INVALID");
        // Parameters of somebody else's protocol are theirs.
        get("presigned=false&utm_source=mail&&=&%").await.expect(204);
        // What has no value is not given.
        get("presigned=&size=&mode=&parts=").await.expect(204);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());

        get("presigned=true&size=6291456&mode=multipart").await.expect(200);
        for (parts, signed) in [("1-3", 2), ("1-100", 2), ("2-10000", 1)] {
            let answer = get(&format!("presigned=true&parts={parts}")).await.expect(200).json();
            assert_eq!(answer["parts"].as_array().map(Vec::len), Some(signed), "{parts}: {answer}");
        }
        for parts in ["3", "3-3", "3-10000"] {
            let message =
                get(&format!("presigned=true&parts={parts}")).await.refused(400, "BLOB_UPLOAD_INVALID");
            assert!(message.contains("has 2 parts; ask for parts=1-2"), "{parts}: {message}");
        }
        assert_eq!(upload.abort().await.status, 204);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn bodies(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        upload.put(b"bytes").await;
        let digest = digest_of(b"bytes");
        for body in [
            "{",
            "[]",
            "null",
            "\"parts\"",
            "{\"parts\":{}}",
            "{\"parts\":null}",
            "{\"parts\":[1]}",
            "{\"part\":[]}",
            "{\"parts\":[],\"more\":1}",
            "{\"parts\":[{\"part_number\":1}]}",
            "{\"parts\":[{\"etag\":\"e\"}]}",
            "{\"parts\":[{\"part_number\":0,\"etag\":\"e\"}]}",
            "{\"parts\":[{\"part_number\":10001,\"etag\":\"e\"}]}",
            "{\"parts\":[{\"part_number\":-1,\"etag\":\"e\"}]}",
            "{\"parts\":[{\"part_number\":\"1\",\"etag\":\"e\"}]}",
            "{\"parts\":[{\"part_number\":1.5,\"etag\":\"e\"}]}",
            "{\"parts\":[{\"part_number\":1,\"etag\":1}]}",
            "{\"parts\":[{\"part_number\":1,\"etag\":\"e\",\"size\":5}]}",
            "{\"parts\":[]}{}",
            "bytes",
        ] {
            let message = upload.finalize_with(&digest, body).await.refused(400, "BLOB_UPLOAD_INVALID");
            assert!(message.starts_with("the JSON body: "), "{body}: {message}");
        }
        for bytes in [vec![0xff_u8; 10], vec![b'['; 4_000]] {
            upload.finalize_with(&digest, bytes).await.refused(400, "BLOB_UPLOAD_INVALID");
        }
        let huge = format!("{{\"parts\":[{}]}}", " ".repeat(3 << 20));
        let message = upload.finalize_with(&digest, huge).await.refused(413, "SIZE_INVALID");
        assert!(message.contains("4096 bytes"), "{message}");
        assert_eq!(upload.state().await.json()["status"], "uploading");
        upload.finalize(&digest).await.expect(201);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}
