//! What a batch is answered.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{JSON, Lfs, NAME, nothing_is_left, object, put, refused, verify};
use crate::support::api::{Answer, Repository, content, digest_of};
use crate::support::{Stack, Store};

const GIB: u64 = 1 << 30;

pub async fn answered(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let lfs = Lfs::of(&server, NAME);
    let (there, new) = (content(70_000), content(3_000));
    lfs.push(&there).await;
    // Under either name of the repository, and for a client that names no transfers.
    let url = lfs.url.replace(".git/", "/");
    let body = json!({
        "operation": "upload", "ref": null, "hash_algo": "sha256",
        "objects": [object(&there), object(&new), object(&new)],
    });
    let answer = Answer::to(lfs.http.post(format!("{url}/objects/batch")).json(&body)).await.expect(200);
    assert_eq!(answer.header("content-type"), Some(JSON));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let json = answer.json();
    assert_eq!((&json["transfer"], &json["hash_algo"]), (&json!("basic"), &json!("sha256")));
    assert_eq!(json["objects"][0], object(&there), "nothing is to be done with what is there");
    assert_eq!(json["objects"].as_array().map(Vec::len), Some(2), "each object once: {json}");
    let asked = &json["objects"][1];
    assert_eq!((&asked["oid"], &asked["authenticated"]), (&object(&new)["oid"], &json!(true)));
    let upload = &asked["actions"]["upload"];
    let headers = upload["header"].as_object().expect("headers");
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert!(headers.contains_key("x-amz-checksum-sha256") && !headers.contains_key("content-length"));
    for action in ["upload", "verify"] {
        let action = &asked["actions"][action];
        assert!(action["href"].as_str().is_some_and(|href| href.starts_with("http://")), "{action}");
        assert!(action["expires_in"].as_i64().is_some_and(|seconds| seconds > 30), "{action}");
    }
    put(&lfs.http, upload, new.clone()).await.expect(200);
    verify(&lfs.http, asked, &object(&new)).await.expect(200);

    // It is a blob of the repository as any other, which nothing refers to.
    let read = Repository::of(server.base_url(), NAME).read(&digest_of(&new)).await;
    assert!(read.expect(200).body == new);
    let missing = content(9);
    let answer = lfs.batch("download", &[object(&new), object(&missing)]).await.expect(200).json();
    assert!(answer["objects"][0]["actions"]["download"]["href"].is_string(), "{answer}");
    assert_eq!(answer["objects"][1]["error"]["code"], 404, "{answer}");
    assert_eq!(answer["objects"][1]["actions"], Value::Null);
    let wrong = json!({ "oid": digest_of(&new).hex(), "size": 7 });
    for operation in ["upload", "download"] {
        let answer = lfs.batch(operation, std::slice::from_ref(&wrong)).await.expect(200).json();
        assert_eq!(answer["objects"][0]["error"]["code"], 422, "{answer}");
    }
    assert_eq!(lfs.batch("download", &[]).await.expect(200).json()["objects"], json!([]));
    nothing_is_left(&stack).await;
}

pub async fn read(stack: Arc<Stack>) {
    let server = stack.guarded_server(&[]).await;
    let accounts = crate::support::Accounts::of(&stack).await;
    accounts.project("team", false).await;
    let login = accounts.user_as("dev", "team", overside::domain::access::Role::Developer).await;
    let lfs = Lfs::of(&server, NAME).by(&login);
    let bytes = content(5 << 20);
    lfs.push(&bytes).await;
    stack.settled().await;
    let answered = lfs.one("download", &bytes).await;
    assert_eq!(answered["authenticated"], true);
    let href = answered["actions"]["download"]["href"].as_str().expect("a URL");
    let is_direct = !href.starts_with(server.base_url());
    assert_eq!(is_direct, matches!(stack.store, Store::S3 { .. }), "{href}");
    let whole = Answer::to(lfs.http.get(href)).await.expect(200);
    assert!(whole.body == bytes);
    let rest = Answer::to(lfs.http.get(href).header("range", "bytes=1000000-")).await.expect(206);
    assert!(rest.body == bytes[1_000_000..]);
    // Where nobody is sent to the bucket, the bytes come by a URL of the service's own.
    let server = stack.guarded_server(&["--redirect-downloads", "never"]).await;
    let lfs = Lfs::of(&server, NAME).by(&login);
    let answered = lfs.one("download", &bytes).await;
    let href = answered["actions"]["download"]["href"].as_str().expect("a URL").to_owned();
    assert!(href.starts_with(server.base_url()), "{href}");
    let rest = Answer::to(lfs.http.get(&href).header("range", "bytes=1000000-5242879")).await.expect(206);
    assert!(rest.body == bytes[1_000_000..]);
    let other = href.replace(&digest_of(&bytes).hex(), &digest_of(b"other").hex());
    refused(&Answer::to(lfs.http.get(other)).await, 403);
    let log = stack.whole_logs();
    assert!(!log.contains("signature="), "no URL's query is in the log");
}

pub async fn in_parts(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let lfs = Lfs::of(&server, NAME);
    let small = content(11 << 20);
    let large = json!({ "oid": digest_of(b"not that large").hex(), "size": 6 * GIB });
    let batch = |transfers: Value| {
        let lfs = lfs.clone();
        let body =
            json!({ "operation": "upload", "transfers": transfers, "objects": [large, object(&small)] });
        async move { lfs.post("objects/batch", &body).await.expect(200).json() }
    };
    // A client that does not send parts sends the other one all the same.
    let answer = batch(json!(["basic"])).await;
    assert_eq!((&answer["transfer"], &answer["objects"][0]["error"]["code"]), (&json!("basic"), &json!(422)));
    assert!(answer["objects"][1]["actions"]["upload"]["href"].is_string(), "{answer}");

    let answer = batch(json!(["lfs-standalone-file", "multipart", "basic"])).await;
    assert_eq!(answer["transfer"], "multipart");
    for (object, parts) in [(0, 90..=110), (1, 1..=2)] {
        let header = answer["objects"][object]["actions"]["upload"]["header"].as_object().expect("parts");
        let numbers: Vec<&String> = header.keys().filter(|name| *name != "chunk_size").collect();
        assert!(parts.contains(&numbers.len()), "{numbers:?}");
        assert!(numbers.iter().all(|number| number.len() == 5 && number.parse::<u16>().is_ok()));
    }
    let again = batch(json!(["basic", "multipart"])).await;
    for object in [0, 1] {
        let place = |answer: &Value| {
            let href = &answer["objects"][object]["actions"]["upload"]["href"];
            href.as_str().expect("a URL").split('?').next().map(str::to_owned)
        };
        assert_eq!(place(&answer), place(&again), "the same uploads");
    }
    // As the agent sends it: slices to the URLs in the order of their names, without a header.
    let asked = &answer["objects"][1];
    let upload = &asked["actions"]["upload"];
    let header = upload["header"].as_object().expect("parts");
    let size: usize = header["chunk_size"].as_str().expect("text").parse().expect("a number");
    let mut names: Vec<&String> = header.keys().filter(|name| *name != "chunk_size").collect();
    names.sort();
    let mut parts = Vec::new();
    for (number, (name, chunk)) in names.iter().zip(small.chunks(size)).enumerate() {
        let url = header[*name].as_str().expect("a URL");
        let sent = Answer::to(lfs.http.put(url).body(chunk.to_vec())).await.expect(200);
        parts.push(json!({ "etag": sent.header("etag"), "partNumber": number + 1 }));
    }
    let said = json!({ "oid": digest_of(&small).hex(), "parts": parts });
    let href = upload["href"].as_str().expect("a URL");
    Answer::to(lfs.http.post(href).json(&said)).await.expect(200);
    verify(&lfs.http, asked, &object(&small)).await.expect(200);
    assert_eq!(stack.blob_hash(&digest_of(&small)).await, Some(digest_of(&small)));

    // Many at once have fewer parts each: the answer is held whole.
    let one = |seed: u64| json!({ "oid": digest_of(&seed.to_le_bytes()).hex(), "size": 6 * GIB });
    let many: Vec<Value> = (0..40).map(one).collect();
    let body = json!({ "operation": "upload", "transfers": ["multipart"], "objects": many });
    let crowd = lfs.post("objects/batch", &body).await.expect(200).json();
    let parts =
        |object: &Value| object["actions"]["upload"]["header"].as_object().map(|header| header.len() - 1);
    let parts: Vec<usize> = crowd["objects"].as_array().expect("objects").iter().filter_map(parts).collect();
    assert_eq!(parts.len(), 40, "{crowd}");
    assert!(parts.iter().sum::<usize>() <= 2_000, "{parts:?}");

    // An object that nobody has sent.
    let asked = &answer["objects"][0];
    let message = refused(&verify(&lfs.http, asked, &large).await, 422);
    assert!(!message.is_empty());
}
