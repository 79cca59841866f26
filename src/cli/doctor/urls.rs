//! What clients' URLs permit at this bucket, and what to do where it is too much.

use serde_json::{Value, json};

use crate::storage::probe::{Capabilities, Capability};
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
