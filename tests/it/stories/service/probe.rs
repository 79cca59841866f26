//! What was seen of a bucket is kept in the database, for whoever starts next.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;

use crate::support::trial::{Story, not_here};
use crate::support::{FaultProxy, Stack, Store};

/// A look at the bucket, and what a server asks when it is asked whether it is ready.
const REQUESTS_WITHOUT_PROBE: u64 = 8;
/// Every start after a day asks so much: what nothing rests on is left to `doctor`.
const REQUESTS_OF_PROBE: std::ops::Range<u64> = 40..160;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_start_takes_over_what_an_earlier_one_saw_of_the_bucket", kept),
        ("doctor_tells_what_was_asked_and_how_each_kind_of_upload_is_proven", table),
    ]
}

fn kept(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::S3 { endpoint, .. } = &stack.store else { not_here("it is about buckets") };
        let proxy = FaultProxy::in_front_of(endpoint).await;
        let through = ["--s3-endpoint", proxy.url().as_str()];
        let requests = async |flags: &[&str]| {
            let before = proxy.requests();
            drop(stack.server(&[&through, flags].concat()).await);
            proxy.requests() - before
        };
        let asked = requests(&[]).await;
        assert!(REQUESTS_OF_PROBE.contains(&asked), "{asked}");
        assert!(requests(&[]).await < REQUESTS_WITHOUT_PROBE);
        let asked = requests(&["--probe-refresh"]).await;
        assert!(REQUESTS_OF_PROBE.contains(&asked), "{asked}");
        assert!(requests(&[]).await < REQUESTS_WITHOUT_PROBE);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        assert_eq!(stack.objects().await, vec![]);
    }
    .boxed()
}

fn table(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let _server = stack.server(&[]).await;
        let json = stack.command(&["doctor", "--json"]).await;
        let report: Value = serde_json::from_str(&json.stdout).expect("--json prints JSON");
        let text = stack.command(&["doctor"]).await.stdout;

        let proofs = report["proofs"].as_array().expect("proofs");
        let of = |upload: &str| {
            let proof = proofs.iter().find(|proof| proof["upload"] == upload);
            proof.unwrap_or_else(|| panic!("{upload}: {report}"))["proof"].as_str().expect("text")
        };
        let is_bucket = matches!(stack.store, Store::S3 { .. });
        assert_eq!(of("parts"), if is_bucket { "store-copy" } else { "read-back" });
        assert_eq!((of("large"), of("proxied")), ("read-back", "streamed"));
        assert!(["store-checksum", "store-copy"].contains(&of("bound-put")));
        assert!(text.contains("parts, above 5 GiB        read-back"), "{text}");

        if !is_bucket {
            assert!(report["probe"].is_null(), "{report}");
            return;
        }
        for asked in report["probe"].as_array().expect("what was asked") {
            let (yes, reason) = (asked["answer"] == "yes", asked["reason"].as_str());
            assert_eq!(yes, reason.is_none(), "{asked}");
            let question = asked["question"].as_str().expect("text");
            assert!(text.contains(&format!("{question}: ")), "{question}: {text}");
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}
