//! With helper programs.

use std::time::{Duration, Instant};

use super::*;

#[tokio::test]
async fn a_helper_keeps_what_is_stored_and_the_file_never_has_it() {
    let home = Home::with_docker(&json!({ "credsStore": "keys" })).with_helper("keys");
    let credentials = home.load().unwrap();
    for (registry, credential) in
        [("ghcr.io", basic("alice", "one")), ("docker.io", Credential::IdentityToken("token".into()))]
    {
        assert_eq!(credentials.find(registry, None).await.unwrap(), None);
        credentials.store(registry, &credential).await.unwrap();
        assert_eq!(credentials.find(registry, None).await.unwrap(), Some(credential));
    }
    assert!(home.programs().join("kept.https:__index.docker.io_v1_").exists(), "as Docker calls its Hub");
    assert!(credentials.erase("ghcr.io").await.unwrap());
    assert_eq!(credentials.find("ghcr.io", None).await.unwrap(), None);
    assert_eq!(home.docker_json(), json!({ "credsStore": "keys" }));
}

#[tokio::test]
async fn a_registrys_own_helper_comes_before_the_store_of_all_and_both_before_the_file() {
    let config = json!({
        "credsStore": "broken",
        "credHelpers": { "ghcr.io": "keys", "https://index.docker.io/v1/": "keys", "plain.example": "" },
        "auths": { "ghcr.io": auth("file"), "plain.example": auth("plain") },
    });
    let home = Home::with_docker(&config).with_helper("keys").with_helper("broken");
    assert_eq!(home.find("ghcr.io", None).await, Some(basic("alice", "file")), "the helper has none");
    home.load().unwrap().store("ghcr.io", &basic("alice", "helper")).await.unwrap();
    assert_eq!(home.find("ghcr.io", None).await, Some(basic("alice", "helper")));
    assert_eq!(home.find("docker.io", None).await, None);
    assert_eq!(home.find("plain.example", None).await, Some(basic("alice", "plain")));
    assert!(home.load().unwrap().find("quay.io", None).await.is_err(), "the store of all is asked");
}

#[tokio::test]
async fn a_helper_that_is_missing_broken_or_senseless_is_an_error_that_says_so() {
    for (name, said) in [
        ("absent", "docker-credential-absent, which is not in PATH"),
        ("broken", "failed to get (exit status: 1): the keychain is locked"),
        ("talkative", "answered with something else"),
        ("../../bin/sh", "names a credential helper"),
        ("a b", "names a credential helper"),
    ] {
        let home = Home::with_docker(&json!({ "credsStore": name })).with_helper("broken");
        let home = home.with_helper("talkative");
        let error = home.load().unwrap().find("ghcr.io", None).await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_helper_that_never_answers_is_given_up() {
    let home = Home::new().with_helper("stalled");
    let search = env::join_paths([home.programs(), "/usr/bin".into(), "/bin".into()]).unwrap();
    let helper = Helper::new("stalled", &home.docker(), Some(search)).unwrap();
    let began = Instant::now();
    let error = helper.with_limit(Duration::from_millis(200)).get("ghcr.io").await.unwrap_err();
    assert!(matches!(error, CredentialsError::HelperStalled { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
}
