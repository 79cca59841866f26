//! Which address a presigned URL leads to, and where below the bucket things lie.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::clock::Clock;
use overside::domain::upload::UploadId;
use overside::storage::capability::{Capabilities, Capability};
use overside::storage::s3::{S3, S3Settings};
use overside::storage::{PutTerms, Storage, key};
use url::Url;

use crate::support::api::{Answer, Repository, digest_of, send};
use crate::support::servers::BUCKET;
use crate::support::trial::{Story, not_here};
use crate::support::{Stack, Store};

pub fn cases() -> Vec<Story> {
    vec![
        ("presigned_urls_lead_to_the_public_address", public),
        ("urls_lead_to_where_a_client_found_the_service", found),
        ("pages_of_named_origins_may_call_the_service_and_no_others", cross_origin),
        ("a_virtual_hosted_bucket_is_the_first_label_of_the_host", virtual_hosted),
        ("everything_lies_below_the_prefix", prefix),
    ]
}

fn public(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        // Resolves nowhere: whatever the service itself did with it would fail.
        let public = "http://files.example.invalid:8443";
        let flag = match stack.store {
            Store::S3 { .. } => "--s3-public-endpoint",
            Store::Filesystem { .. } => "--public-url",
        };
        let server = stack.server(&[flag, public]).await;
        let repository = Repository::of(server.base_url(), "team/app");
        // On a folder the service itself is what has that address, and says so: what it says is asked where it is.
        let begin = async || {
            let mut upload = repository.begin().await;
            upload.url =
                format!("{}{}", server.base_url(), &upload.url[upload.url.find("/v2/").expect("a path")..]);
            upload
        };
        let upload = begin().await;
        let signed = upload.sign(&[("size", "6291456"), ("mode", "multipart")]).await.expect(200).json();
        let part = signed["parts"][0]["presigned_url"].as_str().expect("a URL");
        assert!(part.starts_with(&format!("{public}/")), "{part}");
        assert_eq!(upload.abort().await.status, 204);

        let upload = begin().await;
        let signed = upload.sign(&[("size", "10")]).await.expect(200).json();
        let url: Url = signed["presigned_url"].as_str().and_then(|url| url.parse().ok()).expect("a URL");
        assert!(url.as_str().starts_with(&format!("{public}/")), "{url}");
        // The client gets there by a gateway that keeps the host's name, which is signed.
        let behind = match &stack.store {
            Store::S3 { endpoint, .. } => endpoint.clone(),
            Store::Filesystem { .. } => server.base_url().parse().expect("a URL"),
        };
        let gateway = reqwest::Client::builder()
            .no_proxy()
            .resolve("files.example.invalid", behind.socket_addrs(|| None).expect("an address")[0])
            .build()
            .expect("a client");
        let mut through = url.clone();
        through.set_port(behind.port()).expect("a port");
        let mut put = gateway.put(through).header("host", "files.example.invalid:8443").body("0123456789");
        for (name, value) in signed["headers"].as_object().expect("headers") {
            put = put.header(name, value.as_str().expect("text"));
        }
        Answer::to(put).await.expect(200);
        upload.finalize(&digest_of(b"0123456789")).await.expect(201);

        let get = Answer::to(repository.http.get(repository.url(digest_of(b"0123456789")))).await;
        match get.header("location") {
            Some(location) => assert!(location.starts_with(&format!("{public}/")), "{location}"),
            None => assert_eq!(get.expect(200).body.as_ref(), b"0123456789"),
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn found(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let http = crate::support::http();
        let uploads = format!("{}/v2/team/app/blobs/uploads/", server.base_url());
        for (host, proto, origin) in [
            ("localhost:5000", "", "http://localhost:5000"),
            ("registry.example", "https", "https://registry.example"),
            ("[::1]:5000", "gopher", "http://[::1]:5000"),
            // What is no host is told nothing of where it is.
            ("user@evil.example", "", ""),
        ] {
            let called = |request: reqwest::RequestBuilder| {
                Answer::to(request.header("host", host).header("x-forwarded-proto", proto))
            };
            for query in ["size=10", "size=12000000&mode=multipart"] {
                let post = http.post(format!("{uploads}?presigned=true&{query}")).header("content-length", 0);
                let begun = called(post).await.expect(202);
                let place = begun.header("location").expect("a place");
                assert!(place.starts_with(&format!("{origin}/v2/team/app/")), "{place}");
                let again = format!("{}{}?presigned=true", server.base_url(), &place[origin.len()..]);
                for signed in [begun.json(), called(http.get(again)).await.expect(200).json()] {
                    let url = [&signed["presigned_url"], &signed["parts"][0]["presigned_url"]];
                    let url = url.into_iter().find_map(serde_json::Value::as_str).expect("a URL");
                    let expected = match &stack.store {
                        Store::S3 { endpoint, .. } => endpoint.to_string(),
                        Store::Filesystem { .. } => format!("{origin}/signed/"),
                    };
                    assert!(url.starts_with(&expected), "{url}");
                }
            }
        }
    }
    .boxed()
}

fn cross_origin(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (ours, theirs, http) = ("https://ui.example", "https://evil.example", crate::support::http());
        let allowed = |answer: &Answer| answer.header("access-control-allow-origin").map(str::to_owned);
        for (flags, by_ours, by_theirs) in [
            (vec!["--auth", "token"], None, None),
            (vec!["--auth", "token", "--cors-origin", ours], Some(ours), None),
            (vec!["--auth", "token", "--cors-origin", "*"], Some("*"), Some("*")),
        ] {
            let server = stack.server(&flags).await;
            let uploads = format!("{}/v2/team/app/blobs/uploads/", server.base_url());
            for (origin, expected) in [(ours, by_ours), (theirs, by_theirs)] {
                let preflight = http
                    .request(reqwest::Method::OPTIONS, &uploads)
                    .header("origin", origin)
                    .header("access-control-request-method", "POST")
                    .header("access-control-request-headers", "authorization,content-range");
                let preflight = Answer::to(preflight).await;
                assert_eq!(preflight.status, if flags.len() == 2 { 405 } else { 200 });
                assert_eq!(allowed(&preflight).as_deref(), expected, "{origin} with {flags:?}");
                // What a refusal says is for the page to read as well.
                let refused = Answer::to(http.post(&uploads).header("origin", origin)).await;
                assert_eq!((refused.status, allowed(&refused).as_deref()), (401, expected));
                let exposed = refused.header("access-control-expose-headers").unwrap_or_default();
                assert_eq!(
                    exposed.contains("location") && exposed.contains("www-authenticate"),
                    flags.len() > 2
                );
            }
        }
        let wrong = stack.command(&["serve", "--cors-origin", "https://ui.example/page"]).await;
        assert!(wrong.code == Some(2) && wrong.stderr.contains("without a path"), "{}", wrong.stderr);
    }
    .boxed()
}

fn virtual_hosted(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        // A folder has no bucket, and thus no style.
        let Store::S3 { endpoint, .. } = &stack.store else { not_here("it is about buckets") };
        // Signing asks nobody, so no name below localhost has to resolve on the machine this runs on.
        let port = endpoint.port().expect("a port");
        for (path_style, expected) in [
            (false, format!("http://{BUCKET}.localhost:{port}/below/temp/")),
            (true, format!("http://localhost:{port}/{BUCKET}/below/temp/")),
        ] {
            let settings = S3Settings {
                bucket: BUCKET.to_owned(),
                prefix: "below/".to_owned(),
                endpoint: Some(format!("http://localhost:{port}")),
                public_endpoint: None,
                path_style,
            };
            let store = S3::connect(settings, &Clock::System).await;
            // A bucket whose URLs are good for nothing else, else they would not lead to it.
            let seen = Capability::FOR_URLS.into_iter().chain([Capability::CopySourceRefused]);
            store.set_capabilities(Capabilities::seen(seen));
            let terms = PutTerms { size: Some(10), digest: None };
            let store = Storage::S3(store);
            let signed = store.presign_put(UploadId::generate(), terms, Duration::from_mins(1)).await;
            let signed = signed.expect("the environment has keys");
            assert!(signed.url.starts_with(&expected), "{}", signed.url);
        }
    }
    .boxed()
}

fn prefix(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let deeper = match &stack.store {
            Store::S3 { prefix, .. } => format!("s3://{BUCKET}/{prefix}/deeper/still/"),
            Store::Filesystem { root } => format!("file://{}/deeper/still", root.display()),
        };
        let server = stack.server(&["--storage", &deeper]).await;
        let repository = Repository::of(server.base_url(), "team/app");
        let upload = repository.begin().await;
        let signed = upload.sign(&[("size", "10")]).await.expect(200).json();
        assert_eq!(send(&upload.http, &signed, "0123456789").await.status, 200);
        let digest = digest_of(b"0123456789");
        upload.finalize(&digest).await.expect(201);
        assert_eq!(repository.read(&digest).await.expect(200).body.as_ref(), b"0123456789");

        assert_eq!(stack.objects().await, vec![], "nothing lies above the prefix");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        let place = format!("deeper/still/{}", key::blob(&digest).as_str());
        match &stack.store {
            Store::S3 { client, prefix, .. } => {
                let found = crate::support::bucket::objects(client, &format!("{prefix}/")).await;
                assert_eq!(found, [(format!("{prefix}/{place}"), 10)]);
            }
            Store::Filesystem { root } => {
                assert_eq!(std::fs::read(root.join(place)).expect("the blob"), b"0123456789");
            }
        }
    }
    .boxed()
}
