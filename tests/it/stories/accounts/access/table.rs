//! Every endpoint, asked by everybody. A row says who is let in: `y` is, `1` is told to sign in (401), `3` is told
//! that it is not for them (403), `4` that there is no such thing (404).

mod artifacts;
mod hub;
mod management;

use std::collections::HashSet;
use std::sync::Arc;

use overside::domain::upload::UploadId;
use overside::http::endpoint::{Door, Endpoint};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use uuid::Uuid;

use super::tokens::token;
use super::{NOWHERE, PRIVATE, PUBLIC, Town, Visitor};
use crate::support::Stack;
use crate::support::api::{Answer, digest_of};
use crate::support::described::Document;
use crate::support::image::{CONFIG, Manifest, descriptor, image};

/// In the order of the rows' letters.
const VISITORS: [&str; 9] =
    ["nobody", "stranger", "guest", "developer", "maintainer", "head", "operator", "puller", "pusher"];

/// An endpoint, and who is let in where the project is public, where it is private, and where there is none.
type Row = (Endpoint, [&'static str; 3]);

const EVERYBODY: [&str; 3] = ["yyyyyyyyy"; 3];
/// Of a project that is not there the operator alone may learn so; nobody may pull from it.
const NONE: &str = "133333333";
const PULL: [&str; 3] = ["yyyyyyyyy", "13yyyyyyy", NONE];
/// Robots are of the private project.
const PUSH: [&str; 3] = ["133yyyy33", "133yyyy3y", NONE];
const DELETE: [&str; 3] = ["1333yyy33", "1333yyy33", NONE];
const SIGNED_IN: [&str; 3] = ["1yyyyyyyy"; 3];
/// What robots have no use for.
const USERS: [&str; 3] = ["1yyyyyy33"; 3];
const ADMINISTRATOR: [&str; 3] = ["133333y33"; 3];
/// Only whoever runs the service may learn that there is none.
const NO_PROJECT: &str = "133333433";
const SEE: [&str; 3] = ["yyyyyyyyy", "13yyyyyyy", NO_PROJECT];
const SEE_INSIDE: [&str; 3] = ["13yyyyy33", "13yyyyy33", NO_PROJECT];
const MANAGE: [&str; 3] = ["13333yy33", "13333yy33", NO_PROJECT];

const ROWS: &[Row] = &[
    (Endpoint::Alive, EVERYBODY),
    (Endpoint::Ready, EVERYBODY),
    (Endpoint::OpenApi, EVERYBODY),
    (Endpoint::Docs, EVERYBODY),
    (Endpoint::Portal, EVERYBODY),
    (Endpoint::SignOut, EVERYBODY),
    (Endpoint::Token, EVERYBODY),
    (Endpoint::Base, SIGNED_IN),
    (Endpoint::Catalog, SIGNED_IN),
    (Endpoint::BeginUpload, PUSH),
    (Endpoint::DescribeUpload, PUSH),
    (Endpoint::Append, PUSH),
    (Endpoint::Finalize, PUSH),
    (Endpoint::Abort, PUSH),
    (Endpoint::ReadBlob, PULL),
    (Endpoint::DescribeBlob, PULL),
    (Endpoint::DeleteBlob, DELETE),
    (Endpoint::ReadManifest, PULL),
    (Endpoint::DescribeManifest, PULL),
    (Endpoint::PushManifest, PUSH),
    (Endpoint::DeleteManifest, DELETE),
    (Endpoint::ListTags, PULL),
    (Endpoint::ListBlobs, PULL),
    (Endpoint::ListReferrers, PULL),
    (Endpoint::LfsBatch, PULL),
    (Endpoint::LfsListLocks, PULL),
    (Endpoint::LfsCreateLock, PUSH),
    (Endpoint::LfsVerifyLocks, PUSH),
    (Endpoint::LfsUnlock, PUSH),
    (Endpoint::MlflowServerInfo, EVERYBODY),
    (Endpoint::ListArtifacts, PULL),
    (Endpoint::ReadArtifact, PULL),
    (Endpoint::PresignArtifact, PULL),
    (Endpoint::PutArtifact, PUSH),
    (Endpoint::DeleteArtifacts, DELETE),
    (Endpoint::BeginArtifact, PUSH),
    (Endpoint::CompleteArtifact, PUSH),
    (Endpoint::AbortArtifact, PUSH),
    (Endpoint::TusDiscover, EVERYBODY),
    (Endpoint::TusCreate, PUSH),
    (Endpoint::TusDescribe, PUSH),
    (Endpoint::TusAppend, PUSH),
    (Endpoint::TusTerminate, PUSH),
    (Endpoint::HubWhoAmI, SIGNED_IN),
    (Endpoint::HubValidateCard, EVERYBODY),
    (Endpoint::HubCreateRepository, PUSH),
    (Endpoint::HubDeleteRepository, DELETE),
    // Of what its caller may not read it is empty.
    (Endpoint::HubListRepositories, EVERYBODY),
    (Endpoint::HubReadRepository, PULL),
    (Endpoint::HubAuthCheck, PULL),
    (Endpoint::HubListRefs, PULL),
    (Endpoint::HubReadRevision, PULL),
    (Endpoint::HubListTree, PULL),
    (Endpoint::HubPathsInfo, PULL),
    (Endpoint::HubListCommits, PULL),
    (Endpoint::HubResolve, PULL),
    (Endpoint::HubPreupload, PUSH),
    (Endpoint::HubCommit, PUSH),
    (Endpoint::HubCreateBranch, PUSH),
    (Endpoint::HubCreateTag, PUSH),
    (Endpoint::HubDeleteBranch, DELETE),
    (Endpoint::HubDeleteTag, DELETE),
    // There is none, for anybody.
    (Endpoint::HubXetToken, ["444444444"; 3]),
    (Endpoint::ListProjects, EVERYBODY),
    (Endpoint::CreateProject, USERS),
    (Endpoint::FindProject, ["1yyyyyyyy", "14yyyyyyy", "144444444"]),
    (Endpoint::ReadProject, SEE),
    (Endpoint::UpdateProject, MANAGE),
    (Endpoint::DeleteProject, MANAGE),
    (Endpoint::ListMembers, SEE_INSIDE),
    (Endpoint::AddMember, MANAGE),
    (Endpoint::ReadMember, SEE_INSIDE),
    (Endpoint::UpdateMember, MANAGE),
    (Endpoint::RemoveMember, MANAGE),
    (Endpoint::ListWebhooks, MANAGE),
    (Endpoint::CreateWebhook, MANAGE),
    (Endpoint::ReadWebhook, MANAGE),
    (Endpoint::UpdateWebhook, MANAGE),
    (Endpoint::DeleteWebhook, MANAGE),
    (Endpoint::ListWebhookEvents, MANAGE),
    (Endpoint::ListWebhookTriggers, MANAGE),
    (Endpoint::ListRobots, SIGNED_IN),
    (Endpoint::CreateRobot, MANAGE),
    (Endpoint::ReadRobot, MANAGE),
    (Endpoint::UpdateRobot, MANAGE),
    (Endpoint::RotateRobot, MANAGE),
    (Endpoint::DeleteRobot, MANAGE),
    (Endpoint::ListQuotas, SIGNED_IN),
    (Endpoint::ReadQuota, SEE_INSIDE),
    (Endpoint::UpdateQuota, MANAGE),
    (Endpoint::ReadConfigurations, ADMINISTRATOR),
    (Endpoint::ChangeConfigurations, ADMINISTRATOR),
    (Endpoint::ListProjectLogs, ["13yyyyy33", "13yyyyy33", "133333y33"]),
    (Endpoint::ListLogs, ADMINISTRATOR),
    (Endpoint::ReadCurrentUser, USERS),
    (Endpoint::ListUsers, ADMINISTRATOR),
    (Endpoint::CreateUser, ADMINISTRATOR),
    // Users may do these with themselves, and the guest is asked about.
    (Endpoint::ReadUser, ["13y333y33"; 3]),
    (Endpoint::ChangePassword, ["13y333y33"; 3]),
    (Endpoint::ListTokens, ["13y333y33"; 3]),
    (Endpoint::CreateToken, ["13y333y33"; 3]),
    // Of one that is not there.
    (Endpoint::RevokeToken, ["134333433"; 3]),
    (Endpoint::ListUserKeys, ["13y333y33"; 3]),
    (Endpoint::AddUserKey, ["13y333y33"; 3]),
    // Of one that is not there.
    (Endpoint::RemoveUserKey, ["134333433"; 3]),
    (Endpoint::DeleteUser, ADMINISTRATOR),
    (Endpoint::SetAdministrator, ADMINISTRATOR),
];

/// Endpoints that credentials mean nothing to, with the story that shows what does.
const ELSEWHERE: &[(Endpoint, &str)] = &[
    (Endpoint::ReceivePut, "limits::a_presigned_url_that_was_changed_is_refused"),
    (Endpoint::ReceivePart, "limits::a_presigned_url_that_was_changed_is_refused"),
    (Endpoint::SignIn, "access::nobody_is_signed_in_as_somebody_else_by_a_page"),
    (Endpoint::PortalFile, "portal::the_page_and_its_files_are_what_the_sources_make"),
    (Endpoint::LfsReadObject, "lfs::a_signed_url_is_good_for_one_thing"),
    (Endpoint::LfsDescribeUpload, "lfs::a_signed_url_is_good_for_one_thing"),
    (Endpoint::LfsVerify, "lfs::a_signed_url_is_good_for_one_thing"),
    (Endpoint::LfsComplete, "lfs::a_signed_url_is_good_for_one_thing"),
    (Endpoint::TokenByForm, "access::a_token_is_good_for_what_its_bearer_may_of_what_was_asked_for"),
];

pub async fn all(stack: Arc<Stack>) {
    let rows =
        ROWS.iter().map(|(endpoint, _)| *endpoint).chain(ELSEWHERE.iter().map(|(endpoint, _)| *endpoint));
    let (known, every): (HashSet<_>, HashSet<_>) = (rows.collect(), Endpoint::ALL.iter().copied().collect());
    assert_eq!(known, every, "every endpoint has a row");
    assert_eq!(ROWS.len() + ELSEWHERE.len(), Endpoint::ALL.len(), "and none has two");

    let town = Town::new(&stack, &[]).await;
    let document = Document::of(&town.server).await;
    let mut wrong = Vec::new();
    for (index, project) in [PUBLIC, PRIVATE, NOWHERE].into_iter().enumerate() {
        for (number, visitor) in VISITORS.into_iter().enumerate() {
            let visitor = town.visitor(visitor);
            // With a token for all that they may, whoever lacks a right is told to get another token.
            let scope = format!("repository:{project}/app:pull,push,delete registry:catalog:*");
            let bearer = Visitor::bearer("its token", &token(&town.server, visitor, &[&scope]).await);
            for (endpoint, verdicts) in ROWS {
                let expected = verdicts[index].chars().nth(number).expect("a verdict on everybody");
                let told = |by_token: char| [(visitor, expected), (&bearer, by_token)];
                let both = match (endpoint, expected) {
                    // A token that says that nobody signed in is one.
                    (Endpoint::Base, _) => told('y'),
                    (_, '3') => told('1'),
                    (_, expected) => told(expected),
                };
                for (asking, expected) in both {
                    if asking.name == bearer.name && !endpoint.path().starts_with("/v2/") {
                        continue;
                    }
                    let request = request(&town, *endpoint, project, asking, expected == 'y').await;
                    let answer = Answer::to(request).await;
                    if endpoint.method() == Method::DELETE {
                        town.furnished.lock().expect("a lock").clear();
                    }
                    document.assert_describes(*endpoint, &answer);
                    let found = verdict(*endpoint, &answer);
                    if found != expected {
                        let who = format!("{} ({})", visitor.name, asking.name);
                        wrong.push(format!("{endpoint:?} of {project} by {who}: {found}, not {expected}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What somebody is told. Whoever should be let in asks for what is there, and must get it.
fn verdict(endpoint: Endpoint, answer: &Answer) -> char {
    match answer.status {
        // What stands in a project's way shows that whoever asks might.
        // What a store cannot is said to whoever may ask for it.
        200..=399 | 409 | 412 | 501 => 'y',
        404 => '4',
        401 => {
            let code = match endpoint.method() {
                Method::HEAD => "",
                _ if matches!(endpoint.door(), Door::Lfs | Door::Hub) => "",
                _ if endpoint.door() == Door::Mlflow => "UNAUTHENTICATED",
                _ if endpoint.door() == Door::Tus => "sign in",
                _ => "UNAUTHORIZED",
            };
            assert!(answer.header("www-authenticate").is_some(), "{endpoint:?}");
            assert!(answer.text().contains(code), "{endpoint:?}: {}", answer.text());
            '1'
        }
        403 => '3',
        status => panic!("{endpoint:?}: {status} {}", answer.text()),
    }
}

async fn request(
    town: &Town,
    endpoint: Endpoint,
    project: &str,
    visitor: &Visitor,
    is_let_in: bool,
) -> RequestBuilder {
    if endpoint.path().contains("mlflow") {
        return artifacts::request(town, endpoint, project, visitor, is_let_in).await;
    }
    if endpoint.door() == Door::Hub {
        return hub::request(town, endpoint, project, visitor, is_let_in).await;
    }
    if endpoint.path().starts_with("/api/") {
        return management::request(town, endpoint, project, visitor, is_let_in).await;
    }
    let name = format!("{project}/app");
    if endpoint.door() == Door::Lfs {
        return of_lfs(town, endpoint, &name, visitor, is_let_in).await;
    }
    if endpoint.door() == Door::Tus {
        return of_tus(town, endpoint, &name, visitor, is_let_in).await;
    }
    let path = endpoint.path().replace("{name}", &name);
    let content = format!("of {project}");
    let digest = digest_of(content.as_bytes());
    let manifest = image(&descriptor(CONFIG, content.as_bytes()), &[]);
    let is_about_content = matches!(path_kind(endpoint), Kind::Blob | Kind::Manifest);
    // Once, and again once something may have been deleted.
    if is_let_in && is_about_content && town.furnished.lock().expect("a lock").insert(name.clone()) {
        furnish(town, &name, content.as_bytes(), &manifest).await;
    }
    let http = &visitor.http;
    let method = endpoint.method();
    match path_kind(endpoint) {
        Kind::Plain => http.request(method, town.url(&path)),
        Kind::Begin => http.request(method, town.url(&path)).header(CONTENT_LENGTH, 0),
        Kind::Upload => {
            let id = if is_let_in {
                visitor.repository(&town.server, &name).begin().await.id()
            } else {
                UploadId::generate()
            };
            let url = town.url(&path.replace("{uuid}", &id.to_string()));
            match endpoint {
                Endpoint::Append => http.request(method, url).body("bytes"),
                Endpoint::Finalize => {
                    http.request(method, url).query(&[("digest", digest.to_string())]).body(content)
                }
                _ => http.request(method, url),
            }
        }
        Kind::Blob => {
            let wanted = if endpoint == Endpoint::DeleteBlob { digest_of(b"on its own") } else { digest };
            http.request(method, town.url(&path.replace("{digest}", &wanted.to_string())))
        }
        Kind::Manifest => {
            let reference = if endpoint == Endpoint::PushManifest { "pushed" } else { "there" };
            let url =
                town.url(&path.replace("{reference}", reference).replace("{digest}", &digest.to_string()));
            match endpoint {
                Endpoint::PushManifest => http
                    .request(method, url)
                    .header("content-type", &manifest.media_type)
                    .body(manifest.payload.clone()),
                _ => http.request(method, url),
            }
        }
    }
}

/// A download, or a lock; one that is to end is the visitor's own.
async fn of_lfs(
    town: &Town,
    endpoint: Endpoint,
    name: &str,
    visitor: &Visitor,
    is_let_in: bool,
) -> RequestBuilder {
    let url = |path: &str| town.url(&path.replace("{name}", name));
    let path = json!({ "path": format!("{}.bin", visitor.name) });
    let mut lock = Uuid::nil().to_string();
    if is_let_in && endpoint == Endpoint::LfsUnlock {
        let create = Endpoint::LfsCreateLock;
        let made = Answer::to(visitor.http.request(create.method(), url(create.path())).json(&path)).await;
        made.json()["lock"]["id"].as_str().expect("an id").clone_into(&mut lock);
    }
    let request = visitor.http.request(endpoint.method(), url(&endpoint.path().replace("{lock}", &lock)));
    match endpoint {
        Endpoint::LfsBatch => request.json(&json!({ "operation": "download", "objects": [] })),
        Endpoint::LfsCreateLock => request.json(&path),
        Endpoint::LfsVerifyLocks | Endpoint::LfsUnlock => request.json(&json!({})),
        _ => request,
    }
}

/// An upload of three bytes, the visitor's own.
async fn of_tus(
    town: &Town,
    endpoint: Endpoint,
    name: &str,
    visitor: &Visitor,
    is_let_in: bool,
) -> RequestBuilder {
    let request = |method, path: &str| {
        let request = visitor.http.request(method, town.url(&path.replace("{name}", name)));
        request.header("tus-resumable", "1.0.0").header("upload-length", 3)
    };
    let create = Endpoint::TusCreate;
    let mut id = Uuid::nil().to_string();
    if is_let_in && endpoint.path().contains("{uuid}") {
        let begun = request(create.method(), create.path()).header(CONTENT_LENGTH, 0);
        let begun = Answer::to(begun).await.expect(201);
        let found = begun.header("location").and_then(|url| url.rsplit('/').next());
        found.expect("an id").clone_into(&mut id);
    }
    let request = request(endpoint.method(), &endpoint.path().replace("{uuid}", &id));
    match endpoint {
        Endpoint::TusCreate => request.header(CONTENT_LENGTH, 0),
        Endpoint::TusAppend => request
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", 0)
            .body("abc"),
        _ => request,
    }
}

enum Kind {
    Plain,
    Begin,
    Upload,
    Blob,
    Manifest,
}

fn path_kind(endpoint: Endpoint) -> Kind {
    match endpoint.path() {
        "/v2/{name}/blobs/uploads/" => Kind::Begin,
        path if path.contains("{uuid}") => Kind::Upload,
        path if path.contains("/blobs/{digest}") => Kind::Blob,
        path if path.contains("{name}") => Kind::Manifest,
        _ => Kind::Plain,
    }
}

/// What the endpoints of a repository are about, put there by somebody who may.
async fn furnish(town: &Town, name: &str, content: &[u8], manifest: &Manifest) {
    let operator = town.repository("operator", name);
    operator.push(content).await;
    operator.push(b"on its own").await;
    let put = operator.http.put(town.url(&format!("/v2/{name}/manifests/there")));
    let put = put.header("content-type", &manifest.media_type).body(manifest.payload.clone());
    Answer::to(put).await.expect(201);
}
