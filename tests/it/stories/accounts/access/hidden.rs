//! What whoever may not see something learns of it: nothing.

use std::sync::Arc;
use std::time::Duration;

use overside::domain::digest::Digest;
use overside::http::endpoint::{Endpoint, Need};
use reqwest::header::CONTENT_LENGTH;
use serde_json::json;

use super::tokens::token;
use super::{NOWHERE, PRIVATE, PUBLIC, Town, Visitor};
use crate::support::api::{Answer, digest_of};
use crate::support::database::Database;
use crate::support::image::{CONFIG, descriptor, entries, image};
use crate::support::trial::not_here;
use crate::support::{FaultProxy, Stack};

pub async fn answers(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let content = b"not yours";
    let digest = town.repository("developer", &format!("{PRIVATE}/app")).push(content).await;
    let upload = town.repository("developer", &format!("{PRIVATE}/app")).begin().await;
    let manifest = image(&descriptor(CONFIG, content), &[]);
    let put = town.visitor("developer").http.put(town.url(&format!("/v2/{PRIVATE}/app/manifests/v1")));
    let put = put.header("content-type", &manifest.media_type).body(manifest.payload.clone());
    Answer::to(put).await.expect(201);

    let (nobody, stranger) = (Visitor::nobody(), town.visitor("stranger"));
    let scopes = [
        format!("repository:{PRIVATE}/app:pull,push,delete"),
        format!("repository:{NOWHERE}/app:pull,push,delete"),
    ];
    let bearer = Visitor::bearer("bearer", &token(&town.server, stranger, &[&scopes[0], &scopes[1]]).await);
    for endpoint in Endpoint::ALL.iter().filter(|endpoint| matches!(endpoint.need(), Need::Repository(_))) {
        for visitor in [&nobody, stranger, &bearer] {
            let mut seen = Vec::new();
            for project in [PRIVATE, NOWHERE] {
                let path = endpoint.path().replace("{name}", &format!("{project}/app"));
                let path =
                    path.replace("{uuid}", &upload.id().to_string()).replace("{digest}", &digest.to_string());
                let path = path.replace("{reference}", "v1").replace("{lock}", &upload.id().to_string());
                let path =
                    path.replace("{kind}", "models").replace("{revision}", "main").replace("{file}", "file");
                let path = path.replace("{branch}", "main").replace("{tag}", "v1");
                let mut path = path.replace("{path}", &format!("{project}/file"));
                if *endpoint == Endpoint::ListArtifacts {
                    path = format!("{path}?path={project}");
                }
                let answer = Answer::to(visitor.http.request(endpoint.method(), town.url(&path))).await;
                assert!(matches!(answer.status, 401 | 403), "{endpoint:?}: {}", answer.status);
                seen.push(answer.rendered().replace(project, "PROJECT"));
            }
            assert_eq!(seen[0], seen[1], "{endpoint:?} by {}", visitor.name);
        }
    }
    // Nor does a password tell whether there is somebody of that name.
    let tries = ["developer", "nobody-at-all"].map(|name| Visitor::basic("guesser", name, "wrong password"));
    let mut seen = Vec::new();
    for visitor in &tries {
        seen.push(Answer::to(visitor.http.get(town.url("/v2/"))).await.rendered());
    }
    assert_eq!(seen[0], seen[1]);
}

pub async fn digests(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let content = b"somebody else's secret";
    let there = town.repository("developer", &format!("{PRIVATE}/app")).push(content).await;
    let nowhere = digest_of(b"that nobody ever had");
    // The operator's project is one that the developer may not read.
    let accounts = crate::support::accounts::Accounts::of(&stack).await;
    accounts.project("prober", false).await;
    accounts.member("prober", "stranger", overside::domain::access::Role::Admin).await;
    let own = town.repository("stranger", "prober/app");
    let mut seen = Vec::new();
    for digest in [&there, &nowhere] {
        let head = Answer::to(own.http.head(own.url(digest))).await;
        let get = Answer::to(own.http.get(own.url(digest))).await;
        let begun = own.begin_with(&[("digest", &digest.to_string())]).await;
        // What is claimed is not what is sent.
        let sent =
            Answer::to(own.http.put(&begun.url).query(&[("digest", digest.to_string())]).body("a guess"))
                .await;
        let config = json!({ "mediaType": CONFIG, "digest": digest, "size": content.len() });
        let manifest = image(&config, &[]);
        let put = own
            .http
            .put(town.url("/v2/prober/app/manifests/v1"))
            .header("content-type", &manifest.media_type);
        let put = Answer::to(put.body(manifest.payload)).await;
        assert_eq!([head.status, get.status, sent.status, put.status], [404, 404, 400, 404]);
        let all =
            [head, get, sent, put].map(|answer| answer.rendered().replace(&digest.to_string(), "DIGEST"));
        seen.push(all);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

/// Repositories that have a blob and that the caller may not read.
const REPOSITORIES: usize = 20;
const SAMPLES: usize = 10;
/// What the service does by itself may fall into all samples of one kind: so many are taken before that counts.
const MOST_SAMPLES: usize = 60;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// Bytes of the database's answers by which two samples may differ: the numbers in them are not of one length.
const ANSWERS_DIFFER: u64 = 64;

/// How a mount of a blob into the public project is answered.
async fn mount(town: &Town, visitor: &Visitor, digest: &Digest, from: Option<&str>) -> u16 {
    let mut query = vec![("mount", digest.to_string())];
    query.extend(from.map(|from| ("from", from.to_owned())));
    let post = visitor.http.post(town.url(&format!("/v2/{PUBLIC}/mounted/blobs/uploads/")));
    let answer = Answer::to(post.query(&query).header(CONTENT_LENGTH, 0)).await;
    if let Some(location) = answer.header("location").filter(|_| answer.status == 202) {
        Answer::to(visitor.http.delete(location)).await.expect(204);
    }
    answer.status
}

pub async fn mounts(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let accounts = crate::support::accounts::Accounts::of(&stack).await;
    // Pushes to the public project, and is nobody in the private one.
    accounts.member(PUBLIC, "stranger", overside::domain::access::Role::Developer).await;
    let private = town.repository("developer", &format!("{PRIVATE}/app")).push(b"private layer").await;
    let public = town.repository("developer", &format!("{PUBLIC}/app")).push(b"public layer").await;
    let (from_private, from_public) = (format!("{PRIVATE}/app"), format!("{PUBLIC}/app"));
    let stranger = town.visitor("stranger");
    for from in [Some(from_private.as_str()), Some("empty/app"), None] {
        assert_eq!(mount(&town, stranger, &private, from).await, 202, "{from:?}");
    }
    let read =
        Answer::to(stranger.http.get(town.url(&format!("/v2/{PUBLIC}/mounted/blobs/{private}")))).await;
    read.refused(404, "BLOB_UNKNOWN");
    for (visitor, digest, from) in [
        ("stranger", &public, Some(from_public.as_str())),
        ("stranger", &public, None),
        ("developer", &private, Some(from_private.as_str())),
        ("developer", &private, None),
    ] {
        assert_eq!(mount(&town, town.visitor(visitor), digest, from).await, 201, "{visitor}: {from:?}");
    }
    // A token has to name the source as well: its bearer's rights are what it says. Whoever may have such a token is told.
    let other =
        town.repository("developer", &format!("{PRIVATE}/other")).push(b"another private layer").await;
    let into = format!("repository:{PUBLIC}/mounted:pull,push");
    for (scopes, expected) in [
        (vec![into.as_str()], 401),
        (vec![into.as_str(), "repository:inner/other:push"], 401),
        (vec![into.as_str(), "repository:inner/other:pull"], 201),
    ] {
        let bearer =
            Visitor::bearer("bearer", &token(&town.server, town.visitor("developer"), &scopes).await);
        assert_eq!(mount(&town, &bearer, &other, Some("inner/other")).await, expected, "{scopes:?}");
    }
    let bearer = |name| {
        let (server, visitor, into) = (&town.server, town.visitor(name), into.as_str());
        async move { Visitor::bearer(name, &token(server, visitor, &[into]).await) }
    };
    let url = town.url(&format!("/v2/{PUBLIC}/mounted/blobs/uploads/"));
    let query = [("mount", other.to_string()), ("from", "inner/other".to_owned())];
    let post = bearer("developer").await.http.post(url).query(&query).header(CONTENT_LENGTH, 0);
    let told = Answer::to(post).await;
    let scopes = format!("scope=\"repository:{PUBLIC}/mounted:pull,push repository:inner/other:pull\"");
    let challenge = told.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains(&scopes) && challenge.contains("insufficient_scope"), "{challenge}");
    assert_eq!(mount(&town, &bearer("stranger").await, &other, Some("inner/other")).await, 202);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

/// As many statements, and as much of an answer, whether nobody has a blob or many whom the caller knows nothing of.
pub async fn asked(stack: Arc<Stack>) {
    let Database::Postgres { .. } = &stack.database else { not_here("no proxy counts what a file is asked") };
    let proxy = FaultProxy::in_front_of(&stack.database.url().parse().expect("a URL")).await;
    let flags = ["--database", proxy.url().as_str(), "--clean-interval", "1h", "--gc-interval", "1h"];
    let town = Town::new(&stack, &flags).await;
    let accounts = crate::support::accounts::Accounts::of(&stack).await;
    accounts.member(PUBLIC, "stranger", overside::domain::access::Role::Developer).await;
    for number in 0..REPOSITORIES {
        town.repository("developer", &format!("{PRIVATE}/app{number}")).push(b"private layer").await;
    }
    let digests = [digest_of(b"private layer"), digest_of(b"that nobody ever had")];
    // Of each the least: other work of the service is in some of them.
    let mut least = [(u64::MAX, u64::MAX); 2];
    for sample in 0..MOST_SAMPLES {
        if sample >= SAMPLES && least[0].0 == least[1].0 && least[0].1.abs_diff(least[1].1) < ANSWERS_DIFFER {
            break;
        }
        for (digest, least) in digests.iter().zip(&mut least) {
            let (requests, traffic) = (proxy.requests(), proxy.traffic());
            assert_eq!(mount(&town, town.visitor("stranger"), digest, None).await, 202);
            // What it does behind its answer, too.
            let mut said = 0;
            while said != proxy.requests() {
                said = proxy.requests();
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            *least = (*least).min((said - requests, proxy.traffic().to_client - traffic.to_client));
        }
    }
    let [there, nowhere] = least;
    assert_eq!(there.0, nowhere.0, "statements");
    let differ = there.1.abs_diff(nowhere.1);
    assert!(differ < ANSWERS_DIFFER, "{} bytes of answers, and {}", there.1, nowhere.1);
}

pub async fn catalog(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    for name in ["inner", "inner/a", "inner/b", "outer/a", "outer/z"] {
        town.repository("operator", name).push(b"anything").await;
    }
    let everything = json!(["inner", "inner/a", "inner/b", "outer/a", "outer/z"]);
    let list = async |visitor: &Visitor, query: &str| {
        Answer::to(visitor.http.get(town.url(&format!("/v2/_catalog{query}")))).await.expect(200)
    };
    for (visitor, expected) in [
        ("operator", everything.clone()),
        ("guest", everything),
        ("stranger", json!(["outer/a", "outer/z"])),
        ("puller", json!(["inner", "inner/a", "inner/b", "outer/a", "outer/z"])),
    ] {
        let visitor = town.visitor(visitor);
        let bearer = Visitor::bearer("bearer", &token(&town.server, visitor, &["registry:catalog:*"]).await);
        for visitor in [visitor, &bearer] {
            assert_eq!(list(visitor, "").await.json()["repositories"], expected, "{}", visitor.name);
        }
    }
    let first = list(town.visitor("stranger"), "?n=1").await;
    assert_eq!(first.json()["repositories"], json!(["outer/a"]));
    assert_eq!(first.header("link"), Some("</v2/_catalog?n=1&last=outer%2Fa>; rel=\"next\""));
    let rest = list(town.visitor("stranger"), "?n=1&last=outer%2Fa").await;
    assert_eq!((rest.json()["repositories"].clone(), rest.header("link")), (json!(["outer/z"]), None));
}

/// More than a hundred pages of them lie between what a stranger may read.
pub async fn catalog_in_between(stack: Arc<Stack>) {
    const PAGE: usize = 2;
    const HIDDEN: &str = "
        WITH RECURSIVE counted (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM counted WHERE number < 250)
        INSERT INTO repository (name) SELECT 'inner/r' || number FROM counted";
    const LINKED: &str = "
        INSERT INTO repository_blob (repository_id, blob_id, created_at)
        SELECT repository.id, blob.id, blob.created_at FROM repository CROSS JOIN blob WHERE name LIKE 'inner/r%'";
    let town = Town::new(&stack, &[]).await;
    let accounts = crate::support::accounts::Accounts::of(&stack).await;
    for project in ["alpha", "inner-x", "inner.x", "inner0", "zeta"] {
        accounts.project(project, true).await;
    }
    // By bytes: `-` and `.` come before `/`, and `0` after it. Of each project the one that has its name and others.
    let mut readable = [
        "alpha",
        "alpha/z",
        "inner-x",
        "inner-x/a",
        "inner.x/a",
        "inner0",
        "inner0/a",
        "outer",
        "outer/a",
        "outer/b",
        "zeta/a",
    ];
    readable.sort_unstable();
    for name in readable {
        town.repository("operator", name).push(b"anything").await;
    }
    assert_eq!(stack.database.run(HIDDEN.to_owned()).await, 250);
    assert_eq!(stack.database.run(LINKED.to_owned()).await, 250);
    let stranger = town.repository("stranger", "outer/a");
    let pages = stranger.pages_from(town.url(&format!("/v2/_catalog?n={PAGE}"))).await;
    assert_eq!(pages.iter().flat_map(entries).collect::<Vec<_>>(), readable);
    assert_eq!(pages.len(), readable.len().div_ceil(PAGE), "no page is short, and the last one says so");
    let guest = town.repository("guest", "outer/a");
    let pages = guest.pages_from(town.url(&format!("/v2/_catalog?n={PAGE}"))).await;
    assert_eq!(pages.iter().flat_map(entries).count(), readable.len() + 250);
}
