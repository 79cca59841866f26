//! What clients' URLs permit at this bucket, and what to do where it is too much.

use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use crate::domain::digest::Digest;
use crate::http::redirects::{is_private, takes_sign_in_along};
use crate::storage::capability::{Capabilities, Capability};
use crate::storage::{Finding, S3, key};

const USE_A_KEY: &str = "sign uploads with a key that may only put below temp/ (--s3-upload-access-key; its policy is below), \
                         or use a store, or a version of it, that refuses this";

pub(super) fn findings(store: &S3, seen: &Capabilities) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (capability, subject) in
        [(Capability::SignatureEnforced, "signatures"), (Capability::TermsEnforced, "signed headers")]
    {
        if !seen.has(capability) {
            let why = reason(seen, capability);
            findings.push(Finding::broken(
                subject,
                why,
                "use another store: whoever has a URL of this one can write what they like",
            ));
        }
    }
    findings.push(match seen.url_guards() {
        Some(guards) if guards.copy_source => {
            let detail = "uploads go to the bucket directly; their URLs are signed with a condition that keeps them from copying";
            Finding::good("client URLs", detail.to_owned())
        }
        Some(_) => Finding::good("client URLs", "uploads go to the bucket directly".to_owned()),
        None => {
            let holes = seen.url_holes().join("; ");
            Finding::warning("client URLs", format!("uploads go through the service: {holes}"), USE_A_KEY)
        }
    });
    if let Some(key) = store.upload_key() {
        let capability = Capability::UploadKeyRestricted;
        findings.push(if seen.has(capability) {
            Finding::good("upload key", format!("{} can do nothing but put below temp/", key.access_key))
        } else {
            let detail = format!("{} protects nothing: {}", key.access_key, reason(seen, capability));
            Finding::warning("upload key", detail, "allow it the policy below and nothing else")
        });
    }
    findings
}

/// Where downloads are sent, and who does not go there.
pub(super) async fn downloads(store: &S3, public_url: Option<&Url>) -> Option<Finding> {
    let some_blob = key::blob(&Digest::from_sha256([0; 32]));
    let bucket = Url::parse(&store.presign_get(&some_blob, Duration::from_secs(1)).await.ok()?).ok()?;
    let (there, here) = (bucket.host_str()?, public_url.and_then(Url::host_str).unwrap_or_default());
    let subject = "downloads";
    Some(if !here.is_empty() && takes_sign_in_along(here, there) {
        let detail = format!(
            "clients are sent from {here} to {there}, and those written in Go take their password or token along, with what \
             they pull and what they push, which AWS and others refuse beside a signed URL"
        );
        let mend = "give the bucket a host name that is not the service's nor below it, or serve such clients here \
                    (--no-redirect-for, --redirect-downloads never, --redirect-uploads off)";
        Finding::warning(subject, detail, mend)
    } else if is_private(&bucket) {
        let detail = format!(
            "clients are sent to the address {there}; crane, cosign and what else is made of go-containerregistry 0.22 \
             and later do not go from a name to a private address, and are served by this service"
        );
        Finding::warning(subject, detail, "give the bucket a host name (--s3-public-endpoint)")
    } else {
        Finding::good(subject, format!("clients are sent to {there}"))
    })
}

/// For whoever needs it.
pub(super) fn policy(store: &S3, seen: &Capabilities) -> Option<Value> {
    let is_restricted = store.upload_key().is_none() || seen.has(Capability::UploadKeyRestricted);
    let settings = store.settings();
    (seen.url_guards().is_none() || !is_restricted).then(|| {
        json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                // Parts are put as well.
                "Action": ["s3:PutObject"],
                "Resource": [format!("arn:aws:s3:::{}/{}{}*", settings.bucket, settings.prefix, key::TEMP_PREFIX)],
            }],
        })
    })
}

fn reason(seen: &Capabilities, capability: Capability) -> String {
    seen.reason(capability).unwrap_or("it was not asked").to_owned()
}
