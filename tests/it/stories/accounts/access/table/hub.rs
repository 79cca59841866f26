//! The endpoints of the Hugging Face Hub: what each is asked about, put there beforehand where somebody should be let in.

use overside::http::endpoint::Endpoint;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::super::{Town, Visitor};
use crate::support::api::Answer;

/// A commit of a file of one byte.
const COMMIT: &str = concat!(
    r#"{"key":"header","value":{"summary":"a change"}}"#,
    "\n",
    r#"{"key":"file","value":{"path":"file","content":"eA==","encoding":"base64"}}"#,
);

pub async fn request(
    town: &Town,
    endpoint: Endpoint,
    project: &str,
    visitor: &Visitor,
    is_let_in: bool,
) -> RequestBuilder {
    let named = json!({ "name": "app", "organization": project, "type": "model" });
    let commit = format!("/api/models/{project}/app/commit/main");
    if is_let_in && endpoint.path().contains("{name}") || endpoint == Endpoint::HubDeleteRepository {
        let operator = &town.visitor("operator").http;
        let post = |path: &str| operator.request(Method::POST, town.url(path));
        Answer::to(post("/api/repos/create").json(&named)).await;
        Answer::to(post(&commit).body(COMMIT)).await;
        Answer::to(post(&format!("/api/models/{project}/app/branch/old")).json(&json!({}))).await;
        Answer::to(post(&format!("/api/models/{project}/app/tag/main")).json(&json!({ "tag": "old" }))).await;
    }
    let path = endpoint.path().replace("{kind}", "models").replace("{name}", &format!("{project}/app"));
    let path = path.replace("{revision}", "main").replace("{file}", "file");
    let path =
        path.replace("{branch}", "old").replace("{tag}", "old").replace("/tree/main/file", "/tree/main");
    let request = visitor.http.request(endpoint.method(), town.url(&path));
    match endpoint {
        Endpoint::HubCreateRepository | Endpoint::HubDeleteRepository => request.json(&named),
        Endpoint::HubListRepositories => request.query(&[("author", project)]),
        Endpoint::HubPathsInfo => request.json(&json!({ "paths": ["file"] })),
        Endpoint::HubPreupload => request.json(&json!({ "files": [{ "path": "file", "size": 1 }] })),
        Endpoint::HubCommit => request.body(COMMIT),
        Endpoint::HubCreateBranch => request.json(&json!({})),
        Endpoint::HubCreateTag => request.json(&json!({ "tag": "new" })),
        _ => request,
    }
}
