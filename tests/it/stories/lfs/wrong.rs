//! What is wrong with what is sent.

use std::sync::Arc;

use overside::domain::access::Role;
use reqwest::Url;
use serde_json::{Value, json};

use super::{Lfs, NAME, nothing_is_left, object, put, refused, verify};
use crate::support::api::{Answer, content, digest_of};
use crate::support::{Accounts, Stack};

pub async fn bytes(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let lfs = Lfs::of(&server, NAME);
    let bytes = content(9_000);
    let asked = lfs.one("upload", &bytes).await;
    let upload = &asked["actions"]["upload"];
    // Before anything was sent: it can be sent still.
    refused(&verify(&lfs.http, &asked, &object(&bytes)).await, 422);
    let mut other = bytes.clone();
    other[7] ^= 1;
    for body in [other, bytes[1..].to_vec(), [&bytes[..], b"x"].concat()] {
        let sent = put(&lfs.http, upload, body).await;
        assert!((400..500).contains(&sent.status), "{} {}", sent.status, sent.text());
    }
    let mut unbound = upload.clone();
    unbound["header"] = json!({ "content-type": "application/octet-stream" });
    let sent = put(&lfs.http, &unbound, bytes.clone()).await;
    assert!((400..500).contains(&sent.status), "{} {}", sent.status, sent.text());
    refused(&verify(&lfs.http, &asked, &object(&bytes)).await, 422);
    put(&lfs.http, upload, bytes.clone()).await.expect(200);
    // Another size or object than the upload was begun for.
    let wrong_size = json!({ "oid": digest_of(&bytes).hex(), "size": 8_999 });
    for said in [wrong_size, object(b"another"), json!({ "oid": "x", "size": 1 }), json!([])] {
        refused(&verify(&lfs.http, &asked, &said).await, 422);
    }
    verify(&lfs.http, &asked, &object(&bytes)).await.expect(200);
    assert_eq!(stack.objects().await.len(), 1);
    nothing_is_left(&stack).await;
}

pub async fn batches(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let lfs = Lfs::of(&server, NAME);
    let batch = |body: Value| {
        let lfs = lfs.clone();
        async move { lfs.post("objects/batch", &body).await }
    };
    let many = |count: usize| {
        let objects: Vec<_> = (0..count).map(|number| object(number.to_string().as_bytes())).collect();
        json!({ "operation": "upload", "objects": objects })
    };
    for count in [1_001, 10_000] {
        let message = refused(&batch(many(count)).await, 413);
        assert!(message.contains("1000 objects"), "{message}");
    }
    for (body, status) in [
        (json!({ "operation": "delete", "objects": [] }), 422),
        (json!({ "operation": "upload" }), 422),
        (json!({ "operation": "upload", "objects": [{}] }), 422),
        (json!(["upload", null, []]), 422),
        (json!({ "operation": "upload", "objects": [], "hash_algo": "sha512" }), 409),
    ] {
        refused(&batch(body).await, status);
    }
    let post = lfs.http.post(format!("{}/objects/batch", lfs.url)).body("{");
    refused(&Answer::to(post).await, 422);
    // What is no object is that object's error.
    let whole = object(b"whole");
    let upper = digest_of(b"upper").hex().to_uppercase();
    let objects = json!([
        { "oid": "../../etc/passwd", "size": 1 }, { "oid": upper, "size": 1 },
        { "oid": whole["oid"], "size": -1 }, { "oid": digest_of(b"vast").hex(), "size": i64::MAX }, whole,
    ]);
    let answer = batch(json!({ "operation": "upload", "objects": objects })).await.expect(200).json();
    let errors = answer["objects"].as_array().expect("objects").iter();
    let errors = errors.filter(|object| object["error"]["code"] == 422).count();
    assert_eq!(errors, 4, "{answer}");
    // Nothing else is there.
    for path in ["objects", "locks/x/unlock", "uploads/x/verify", "nothing"] {
        refused(&lfs.post(path, &json!({})).await, 404);
    }
    let answer = lfs.get("objects/batch").await;
    refused(&answer, 405);
    assert_eq!(answer.header("allow"), Some("POST"));
    let upper = lfs.url.replace("team", "Team");
    refused(&Answer::to(lfs.http.get(format!("{upper}/locks"))).await, 422);
    let huge = lfs.http.post(format!("{}/objects/batch", lfs.url)).body(vec![b' '; 600_000]);
    refused(&Answer::to(huge).await, 413);
    let huge = lfs.http.post(format!("{}/locks", lfs.url)).body(vec![b' '; 60_000]);
    refused(&Answer::to(huge).await, 413);
}

pub async fn urls(stack: Arc<Stack>) {
    let server = stack.guarded_server(&[]).await;
    let accounts = Accounts::of(&stack).await;
    accounts.project("team", false).await;
    let login = accounts.user_as("dev", "team", Role::Developer).await;
    let lfs = Lfs::of(&server, NAME).by(&login);
    let (one, other) = (content(4_000), content(5_000));
    let (asked, others) = (lfs.one("upload", &one).await, lfs.one("upload", &other).await);
    put(&lfs.http, &asked["actions"]["upload"], one.clone()).await.expect(200);
    let href = |asked: &Value| asked["actions"]["verify"]["href"].as_str().expect("a URL").to_owned();
    let (good, otherwise) =
        (Url::parse(&href(&asked)).expect("a URL"), Url::parse(&href(&others)).expect("a URL"));
    let with = |name: &str, value: &str| {
        let mut url = good.clone();
        let pairs: Vec<_> = good.query_pairs().into_owned().filter(|(key, _)| key != name).collect();
        url.query_pairs_mut().clear().extend_pairs(pairs).append_pair(name, value);
        url
    };
    let mut of_another_upload = good.clone();
    of_another_upload.set_path(otherwise.path());
    let mut for_reading = good.clone();
    for_reading.set_path(&format!("/{NAME}/info/lfs/objects/{}", digest_of(&one).hex()));
    let mut in_parts = good.clone();
    in_parts.set_path(&good.path().replace("/verify", "/nothing"));
    let mut bare = good.clone();
    bare.set_query(None);
    let say = |url: Url| Answer::to(lfs.http.post(url).json(&object(&one)));
    for url in [
        of_another_upload,
        bare,
        with("signature", "00"),
        with("signature", &"0".repeat(64)),
        with("expires", "99999999999"),
        with("expires", "1"),
        with("user", "head"),
        with("user", ""),
    ] {
        refused(&say(url).await, 403);
    }
    refused(&Answer::to(lfs.http.get(for_reading)).await, 403);
    refused(&say(in_parts).await, 404);
    // Of another repository the upload is unknown.
    let elsewhere = good.as_str().replace(NAME, "team/elsewhere");
    refused(&say(Url::parse(&elsewhere).expect("a URL")).await, 404);
    // Whoever has it may use it, whatever they sign in with besides, until its user is gone.
    let anybody = lfs.http.post(good.clone()).basic_auth("dev", Some("wrong")).json(&object(&one));
    Answer::to(anybody).await.expect(200);
    put(&lfs.http, &others["actions"]["upload"], other.clone()).await.expect(200);
    let gone = stack.command(&["user", "delete", "dev", "--database"]).await;
    assert_eq!(gone.code, Some(0), "{gone:?}");
    refused(&Answer::to(lfs.http.post(otherwise).json(&object(&other))).await, 403);
    assert_eq!(stack.objects().await.len(), 1);
}
