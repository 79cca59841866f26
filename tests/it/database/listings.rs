//! Tags, repositories and referrers, a page at a time.

use std::sync::Arc;

use futures_util::FutureExt;
use overside::db::{Db, Pushed, Unlinked};
use overside::domain::digest::Digest;
use serde_json::json;

use super::manifests::{Content, NAME, all_tags, content, index, push, push_to, stored, stored_blob};
use super::{Case, name, now};

pub fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("tags_and_repositories_are_listed_in_the_order_of_their_bytes", |db| listed(db).boxed()),
        ("digests_of_either_algorithm_are_listed_page_by_page_none_twice", |db| mixed(db).boxed()),
        ("referrers_are_listed_by_subject_and_type_within_bounds", |db| referrers(db).boxed()),
    ]
}

fn about(subject: &Digest, artifact_type: &str, text: &str) -> Content {
    content(&json!({
        "schemaVersion": 2, "manifests": [], "artifactType": artifact_type, "annotations": { "text": text },
        "subject": { "digest": subject, "size": 3 },
    }))
}

async fn listed(db: Arc<Db>) {
    let empty = index(&[], 0);
    let tags = ["B", "a", "_", "1", "b", "A.b", "A-b", "a_"];
    push(&db, &empty, &tags).await;
    let mut sorted = tags;
    sorted.sort_unstable();
    assert_eq!(all_tags(&db).await, sorted);
    let page = async |last: &str, limit| db.tags(&name(NAME), last, limit).await.expect("tags");
    assert_eq!(page("", 3).await, sorted[..3]);
    assert_eq!(page(sorted[2], 3).await, sorted[3..6]);
    assert_eq!(page("A/", 1).await, [sorted[3]], "between two of them");
    assert_eq!(page("ä", 9).await, Vec::<String>::new());
    assert_eq!(page("", 0).await, Vec::<String>::new());

    let names = ["z", "a/b", "a-b", "a.b", "a", "0", "a_b"];
    for text in names {
        assert_eq!(push_to(&db, &name(text), &empty, &[]).await, Pushed::Done);
    }
    // One with a blob alone, one with both.
    let layer = stored_blob(&db, 1).await;
    for text in ["only/blob", "z"] {
        assert!(db.link_blob(&name(text), &layer, now()).await.expect("link"));
    }
    let mut all: Vec<_> = names.into_iter().chain([NAME, "only/blob"]).collect();
    all.sort_unstable();
    assert_eq!(db.repositories("", 100, true).await.expect("repositories"), all);
    for limit in 1..4 {
        let (mut listed, mut last) = (Vec::new(), String::new());
        loop {
            let page = db.repositories(&last, limit, true).await.expect("repositories");
            assert!(page.len() <= limit as usize);
            let Some(end) = page.last() else { break };
            last.clone_from(end);
            listed.extend(page);
        }
        assert_eq!(listed, all, "limit {limit}");
    }
    for text in ["a", "only/blob", "z"] {
        assert!(db.has_repository(&name(text)).await.expect("an answer"), "{text}");
    }
    assert!(!db.has_repository(&name("only")).await.expect("an answer"));
}

/// SHA-256 and SHA-512 of the same first bytes, and of others in between.
async fn mixed(db: Arc<Db>) {
    let subject = Digest::from_sha256([1; 32]);
    let long = |byte| Digest::from_bytes(&[byte; 64]).expect("a SHA-512");
    // As the registry gets them: neither is in the order of the other listing.
    let digests = [9, 3, 7, 1, 5].map(|byte| [long(byte), Digest::from_sha256([byte; 32])]).concat();
    for digest in &digests {
        stored(&db, *digest).await;
        let referrer = Content { digest: *digest, ..about(&subject, "a/b", "") };
        assert_eq!(push_to(&db, &name(NAME), &referrer, &[]).await, Pushed::Done);
    }
    let mut sorted = digests.clone();
    sorted.sort_by_key(|digest| digest.as_bytes().to_vec());
    let repository = name(NAME);
    for limit in 1..=10 {
        let (mut listed, mut last) = (Vec::new(), 0);
        loop {
            let page = db.repository_blobs(&repository, last, limit).await.expect("blobs");
            assert!(page.len() <= limit as usize);
            let Some((end, _)) = page.last() else { break };
            last = *end;
            listed.extend(page.into_iter().map(|(_, blob)| blob.digest));
        }
        assert_eq!(listed, digests, "blobs, {limit} at a time");

        let (mut listed, mut last) = (Vec::new(), None);
        loop {
            let page = db.referrers(&repository, &subject, None, last.as_ref(), (limit, u32::MAX)).await;
            let (page, has_more) = page.expect("referrers");
            last = page.last().map(|referrer| referrer.digest);
            listed.extend(page.into_iter().map(|referrer| referrer.digest));
            if !has_more {
                break;
            }
        }
        assert_eq!(listed, sorted, "referrers, {limit} at a time");

        let (mut listed, mut last) = (Vec::new(), None);
        loop {
            let page = db.placed_blobs(last.as_ref(), limit).await.expect("blobs");
            let Some(end) = page.last() else { break };
            last = Some(end.digest);
            listed.extend(page.into_iter().map(|blob| blob.digest));
        }
        assert_eq!(listed, sorted, "all blobs, {limit} at a time");
    }
    // One that leaves meanwhile hides none behind it.
    let first = db.repository_blobs(&repository, 0, 3).await.expect("blobs");
    let (last, blob) = first.last().expect("three of them");
    assert_eq!(db.unlink_blob(&repository, &blob.digest, now()).await.expect("unlinked"), Unlinked::Done);
    let rest = db.repository_blobs(&repository, *last, 100).await.expect("blobs");
    assert!(rest.iter().map(|(_, blob)| blob.digest).eq(digests[3..].iter().copied()));
}

async fn referrers(db: Arc<Db>) {
    let subject = Digest::from_sha256([7; 32]);
    let long = "😀".repeat(250);
    let mut all = Vec::new();
    for number in 0..6 {
        let artifact_type = if number % 2 == 0 { "a/even" } else { "a/odd" };
        let referrer = about(&subject, artifact_type, &format!("{number}\u{0}\"{long}"));
        push(&db, &referrer, &[]).await;
        all.push(referrer);
    }
    all.sort_by_key(|referrer| referrer.digest);
    assert_eq!(push_to(&db, &name("team/other"), &about(&subject, "a/even", ""), &[]).await, Pushed::Done);
    push(&db, &about(&Digest::from_sha256([8; 32]), "a/even", ""), &[]).await;

    let repository = name(NAME);
    let page = async |artifact_type: Option<&str>, last: Option<&Digest>, bounds| {
        let artifact_type = artifact_type.map(|text| text.parse().expect("a type"));
        let page = db.referrers(&repository, &subject, artifact_type.as_ref(), last, bounds).await;
        page.expect("referrers")
    };
    let (found, has_more) = page(None, None, (100, u32::MAX)).await;
    assert_eq!((found.len(), has_more), (all.len(), false));
    assert!(!page(None, None, (6, u32::MAX)).await.1, "all of them, and no more");
    for (found, pushed) in found.iter().zip(&all) {
        assert_eq!((found.digest, found.size), (pushed.digest, pushed.payload.len() as u64));
        assert_eq!(found.media_type, pushed.manifest.media_type);
        assert_eq!(found.artifact_type, pushed.manifest.artifact_type);
        assert_eq!(found.annotations, Some(json!(pushed.manifest.annotations)));
    }
    let even: Vec<_> = all.iter().filter(|one| one.manifest.artifact_type == "a/even".parse().ok()).collect();
    let (found, has_more) = page(Some("a/even"), None, (2, u32::MAX)).await;
    assert!(has_more && found.iter().map(|one| one.digest).eq(even[..2].iter().map(|one| one.digest)));
    let (found, has_more) = page(Some("a/even"), Some(&even[1].digest), (2, u32::MAX)).await;
    assert_eq!((found.len(), has_more), (1, false));
    let none = (vec![], false);
    assert_eq!(page(Some("a/none"), None, (2, u32::MAX)).await, none);
    assert_eq!(page(None, Some(&all[5].digest), (2, u32::MAX)).await, none);
    assert_eq!(page(None, None, (0, u32::MAX)).await, none);
    // Each has annotations of a little more than 1,000 bytes in 250 characters; one is always told.
    for (bytes, expected) in
        [(0, 1), (1_000, 1), (2_000, 1), (2_100, 2), (3_000, 2), (4_200, 4), (1 << 20, 6)]
    {
        let (found, has_more) = page(None, None, (100, bytes)).await;
        assert_eq!((found.len(), has_more), (expected, expected < 6), "{bytes}");
    }
    // None at all count as none.
    push(
        &db,
        &content(
            &json!({ "subject": { "digest": subject, "size": 1 }, "manifests": [], "schemaVersion": 2 }),
        ),
        &[],
    )
    .await;
    assert_eq!(page(None, None, (100, u32::MAX)).await.0.len(), 7);
}
