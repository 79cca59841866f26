//! Sessions and the URLs that were given out for them.

use std::sync::Arc;

use overside::domain::access::{Action, Actions, Role};
use serde_json::Value;

use super::tokens::token;
use super::{PRIVATE, Town, Visitor};
use crate::support::accounts::Accounts;
use crate::support::api::{Answer, Upload, digest_of, send};
use crate::support::{Stack, http};

/// The same upload, as somebody else sees it.
fn seen_by(visitor: &Visitor, upload: &Upload) -> Upload {
    Upload { http: visitor.http.clone(), url: upload.url.clone() }
}

pub async fn owned(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let accounts = Accounts::of(&stack).await;
    let name = format!("{PRIVATE}/app");
    let pushes = Actions::NONE.with(Action::Pull).with(Action::Push);
    let namesake = Visitor::of("namesake", &accounts.robot(PRIVATE, "developer", pushes).await);
    let developer = town.visitor("developer");
    let scope = format!("repository:{name}:pull,push");
    let bearer = Visitor::bearer("bearer", &token(&town.server, developer, &[&scope]).await);
    accounts.member(PRIVATE, "stranger", Role::Developer).await;
    let digest = digest_of(b"mine");

    let upload = developer.repository(&town.server, &name).begin().await;
    for visitor in [
        town.visitor("stranger"),
        town.visitor("head"),
        town.visitor("operator"),
        town.visitor("pusher"),
        &namesake,
    ] {
        let other = seen_by(visitor, &upload);
        for answer in [
            other.state().await,
            other.sign(&[("size", "4")]).await,
            other.patch(None, "yours").await,
            other.finalize_with(&digest, "mine").await,
            other.abort().await,
            Answer::to(other.http.get(&other.url)).await,
        ] {
            answer.refused(404, "BLOB_UPLOAD_UNKNOWN");
        }
    }
    // Its own beginner goes on with it, whatever they sign in with.
    let again = seen_by(&bearer, &upload);
    again.patch(None, "mi").await.expect(202);
    seen_by(developer, &upload).finalize_with(&digest, "ne").await.expect(201);
    assert_eq!(
        developer.repository(&town.server, &name).read(&digest).await.expect(200).body.as_ref(),
        b"mine"
    );

    // Who may not push any more does not go on with what they began.
    let upload = developer.repository(&town.server, &name).begin().await;
    accounts.member(PRIVATE, "developer", Role::Guest).await;
    for answer in
        [upload.patch(None, "late").await, upload.abort().await, upload.sign(&[("size", "4")]).await]
    {
        answer.refused(403, "DENIED");
    }
}

pub async fn outlived(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let repository = town.repository("developer", &format!("{PRIVATE}/app"));
    let sign = async |upload: &Upload| -> Value { upload.sign(&[("size", "8")]).await.expect(200).json() };

    let aborted = repository.begin().await;
    let signed = sign(&aborted).await;
    aborted.abort().await.expect(204);
    let late = send(&http(), &signed, "too late").await;
    // Where the store cannot take a URL back it takes the bytes, and a cleaning takes them away.
    assert!(matches!(late.status, 200 | 404), "{}", late.text());

    let finished = repository.begin().await;
    let signed = sign(&finished).await;
    send(&http(), &signed, "in time!").await.expect(200);
    let digest = digest_of(b"in time!");
    finished.finalize(&digest).await.expect(201);
    let late = send(&http(), &signed, "too late").await;
    assert!(matches!(late.status, 200 | 404), "{}", late.text());

    let cleaned = stack.command(&["cleanup", "--sweep-grace", "1ms"]).await;
    assert_eq!(cleaned.code, Some(0), "{}", cleaned.stderr);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    assert_eq!(repository.read(&digest).await.expect(200).body.as_ref(), b"in time!");
    assert_eq!(stack.blob_hash(&digest).await, Some(digest));
    assert_eq!(stack.objects().await.len(), 1);
    Answer::to(repository.http.get(repository.url(digest_of(b"too late"))))
        .await
        .refused(404, "BLOB_UNKNOWN");
}
