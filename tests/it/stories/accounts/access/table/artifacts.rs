//! The endpoints of MLflow's artifacts: what each is asked about, put there beforehand where somebody should be let in.

use overside::http::endpoint::Endpoint;
use reqwest::RequestBuilder;
use serde_json::json;

use super::super::{Town, Visitor};
use crate::support::api::{Answer, Repository};

const ARTIFACTS: &str = "/api/2.0/mlflow-artifacts";

pub async fn request(
    town: &Town,
    endpoint: Endpoint,
    project: &str,
    visitor: &Visitor,
    is_let_in: bool,
) -> RequestBuilder {
    let path = endpoint.path().replace("{path}", &format!("{project}/run/file.txt"));
    let request = visitor.http.request(endpoint.method(), town.url(&path));
    match endpoint {
        Endpoint::ListArtifacts => request.query(&[("path", project)]),
        Endpoint::PutArtifact => request.body("bytes"),
        Endpoint::ReadArtifact | Endpoint::PresignArtifact => {
            if is_let_in {
                let url = town.url(&format!("{ARTIFACTS}/artifacts/{project}/run/file.txt"));
                Answer::to(town.visitor("operator").http.put(url).body("bytes")).await.expect(200);
            }
            request
        }
        // As of a store that takes no such parts, whoever is let in.
        Endpoint::BeginArtifact => request.json(&json!({ "path": "big.bin", "num_parts": 2 })),
        Endpoint::CompleteArtifact | Endpoint::AbortArtifact => {
            let mut upload = String::new();
            if is_let_in {
                let name = format!("{project}/mlflow-artifacts");
                let mut repository = Repository::of(town.server.base_url(), &name);
                repository.http = visitor.http.clone();
                let begun = repository.begin().await;
                begun.patch(None, "bytes").await.expect(202);
                upload = begun.id().to_string();
            }
            request.json(&json!({ "path": "big.bin", "upload_id": upload, "parts": [] }))
        }
        _ => request,
    }
}
