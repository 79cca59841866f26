//! What the service says of itself, to programs and to people. That every endpoint answers what is said of it shows
//! `access::table` besides.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::http::endpoint::Endpoint;
use serde_json::{Value, json};

use crate::support::api::{Answer, Repository, content, digest_of, send, send_parts};
use crate::support::described::Document;
use crate::support::trial::{Story, not_here};
use crate::support::{self, Servers, Stack};

/// Two parts, and a byte.
const SIZE: usize = (16 << 20) + 1;

pub fn cases() -> Vec<Story> {
    vec![
        ("the_document_describes_every_endpoint_once_and_leads_nowhere_that_is_not_there", every_endpoint),
        ("the_document_is_openapi", valid),
        ("what_an_upload_is_answered_is_what_is_described", upload),
        ("the_page_names_every_endpoint_and_loads_nothing", page),
    ]
}

fn every_endpoint(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let document = Document::of(&stack.server(&[]).await).await;
        let mut ids = BTreeSet::new();
        for endpoint in Endpoint::ALL {
            let operation = document.operation(*endpoint);
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{endpoint:?} has none"));
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert_ne!(operation["responses"], json!({}), "{endpoint:?}");
            let parameters: Vec<_> = operation["parameters"].as_array().expect("parameters").iter().collect();
            let parameters: Vec<_> = parameters.into_iter().map(|one| document.resolved(one)).collect();
            let in_path = parameters.iter().filter(|one| one["in"] == "path");
            let in_path: BTreeSet<_> =
                in_path.map(|one| format!("{{{}}}", one["name"].as_str().expect("a name"))).collect();
            let named = endpoint.path().split('/').filter(|part| part.starts_with('{')).map(str::to_owned);
            assert_eq!(in_path, named.collect(), "{endpoint:?}");
        }
        let paths = document.0["paths"].as_object().expect("paths");
        assert_eq!(
            paths.values().filter_map(Value::as_object).map(serde_json::Map::len).sum::<usize>(),
            ids.len()
        );
        let mut nowhere = Vec::new();
        references(&document.0, &mut |place| {
            if document.0.pointer(place.trim_start_matches('#')).is_none() {
                nowhere.push(place.to_owned());
            }
        });
        assert_eq!(nowhere, Vec::<String>::new());
    }
    .boxed()
}

fn references(value: &Value, each: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            if let Some(place) = fields.get("$ref").and_then(Value::as_str) {
                each(place);
            }
            fields.values().for_each(|field| references(field, each));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, each)),
        _ => {}
    }
}

fn valid(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Some(python) = Servers::from_environment().python else { not_here("no Python clients") };
        let document = Document::of(&stack.server(&[]).await).await;
        assert_eq!(document.0["openapi"], "3.1.0");
        let file = stack.folder().join("openapi.json");
        std::fs::write(&file, document.0.to_string()).expect("a file");
        let mut validator = Command::new(python);
        let checked = stack.run(validator.args(["-m", "openapi_spec_validator"]).arg(&file)).await;
        assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    }
    .boxed()
}

fn upload(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let document = Document::of(&server).await;
        let repository = Repository::of(server.base_url(), "team/model");
        let bytes = content(SIZE);
        let size = bytes.len().to_string();
        let digest = digest_of(&bytes);

        let post = repository.http.post(repository.url("uploads/"));
        let begun = Answer::to(post.query(&[("presigned", "true"), ("size", &size), ("mode", "put")])).await;
        document.assert_describes(Endpoint::BeginUpload, &begun);
        assert_eq!(begun.json()["mode"], "put");
        document.assert_describes(
            Endpoint::ReceivePut,
            &send(&repository.http, &begun.json(), bytes.clone()).await,
        );

        let upload = repository.begin().await;
        let asked = [("mode", "multipart"), ("size", &*size)];
        let signed = upload.sign(&asked).await.expect(200);
        document.assert_describes(Endpoint::DescribeUpload, &signed);
        send_parts(&repository.http, &signed.json(), &bytes).await;
        let again = upload.sign(&[]).await.expect(200);
        assert_eq!(again.json()["received"].as_array().map(Vec::len), Some(3));
        document.assert_describes(Endpoint::DescribeUpload, &again);
        document.assert_describes(Endpoint::DescribeUpload, &upload.state().await.expect(200));
        document
            .assert_describes(Endpoint::DescribeUpload, &upload.sign(&[("size", "many")]).await.expect(400));
        document.assert_describes(Endpoint::Finalize, &upload.finalize(&digest).await.expect(201));
        document.assert_describes(Endpoint::DescribeUpload, &upload.state().await.expect(200));
    }
    .boxed()
}

fn page(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let page = Answer::to(support::http().get(format!("{}/docs", server.base_url()))).await.expect(200);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = page.header("content-security-policy").expect("one");
        assert!(
            policy.starts_with("sandbox; default-src 'none'; frame-ancestors 'none'; style-src 'sha256-"),
            "{policy}"
        );
        let text = page.text();
        for endpoint in Endpoint::ALL {
            let line = format!("<code>{} {}</code>", endpoint.method(), endpoint.path());
            assert!(text.contains(&line), "{line}");
        }
        for never in ["<script", "src=", "http://", "https://", "{}"] {
            assert!(!text.contains(never), "{never}");
        }
        let ids: Vec<_> = text.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let times = ids.iter().fold(BTreeMap::new(), |mut times: BTreeMap<_, usize>, id| {
            *times.entry(id).or_default() += 1;
            times
        });
        assert!(times.values().all(|times| *times == 1), "{times:?}");
        for link in text.split(" href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(ids.contains(&link), "{link}");
        }
    }
    .boxed()
}
