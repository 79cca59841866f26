//! What a bucket was seen to do, and what that makes of each kind of upload.

use std::time::Duration;

use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::pace::Pace;
use crate::storage::capability::{Answer, Capabilities, Capability};
use crate::storage::{Finding, ProofMethod, Storage, UploadKind};

/// One question to the bucket.
#[derive(Debug, Serialize)]
pub(super) struct Asked {
    capability: Capability,
    question: &'static str,
    #[serde(flatten)]
    answer: Answer,
    meaning: &'static str,
}

/// How one kind of upload is proven.
#[derive(Debug, Serialize)]
pub(super) struct Proven {
    upload: UploadKind,
    proof: &'static str,
    method: ProofMethod,
}

pub(super) fn asked(seen: &Capabilities) -> Vec<Asked> {
    let asked = seen.iter().map(|(capability, answer)| Asked {
        capability,
        question: capability.question(),
        answer: answer.clone(),
        meaning: capability.meaning(*answer == Answer::Yes),
    });
    asked.collect()
}

pub(super) fn proofs(store: &Storage) -> Vec<Proven> {
    let proofs = UploadKind::ALL.map(|upload| {
        let method = store.proof_method(upload);
        Proven { upload, proof: method.proof().as_str(), method }
    });
    proofs.into()
}

/// What an operator should know of the answers.
pub(super) fn findings(seen: &Capabilities) -> Vec<Finding> {
    let read: Vec<_> = [UploadKind::BoundPut, UploadKind::Put, UploadKind::Parts]
        .into_iter()
        .filter(|kind| seen.proof_method(*kind) == ProofMethod::ReadBack)
        .map(UploadKind::description)
        .collect();
    let mut findings = vec![if read.is_empty() {
        Finding::good("proofs", "no blob up to 5 GiB is read to prove it".to_owned())
    } else {
        let mend = "nothing to do; a store that computes a SHA-256 while it copies would save the reading";
        Finding::warning("proofs", format!("every blob is read back once: {}", read.join("; ")), mend)
    }];
    if !seen.has(Capability::RangedReads) {
        let detail = "a range is not what was asked for: blobs above 5 GiB cannot be published".to_owned();
        findings.push(Finding::broken("ranged reads", detail, "use another store"));
    }
    if !seen.has(Capability::UploadsByPrefix) {
        let detail = "multipart uploads that a crash leaves are not found".to_owned();
        let mend = "give the bucket a lifecycle rule with AbortIncompleteMultipartUpload";
        findings.push(Finding::warning("left-overs", detail, mend));
    }
    findings
}

/// What to expect of copies and of proofs, by what was measured.
pub(super) fn pace(pace: &Pace, now: DateTime<Utc>, copy_timeout: Duration) -> Finding {
    let rate = |what: &str, rate: Option<u64>| {
        rate.map_or_else(|| format!("{what}: not seen yet"), |rate| format!("{what}: {}/s", ByteSize(rate)))
    };
    let rates = [
        rate("a copy that proves", pace.proving),
        rate("a copy", pace.copying),
        rate("reading back", pace.reading),
    ]
    .join("; ");
    let sooner = if pace.reads_sooner(u64::MAX) {
        "; parts of 64 MiB or more together are read back, which is sooner (--avoid-reading-back proves by copies)"
    } else {
        ""
    };
    match pace.largest.filter(|largest| now < largest.until) {
        None => {
            let most = pace.copying.map(|rate| rate.saturating_mul(copy_timeout.as_secs()));
            let most = most.map_or_else(String::new, |most| {
                format!(", enough for some {} at that rate", ByteSize(most))
            });
            let limit = format!(
                "one copy may take {}{most}; more is copied in parts",
                humantime::format_duration(copy_timeout)
            );
            Finding::good("pace", format!("{rates}{sooner}; {limit}"))
        }
        Some(largest) => Finding::warning(
            "pace",
            format!("copies of more than {} took too long; {rates}{sooner}", ByteSize(largest.bytes)),
            "raise the time that the store, or a proxy before it, gives one request; until then larger blobs are \
             copied in parts and proven by reading",
        ),
    }
}

pub(super) fn print(asked: &[Asked], proofs: &[Proven]) {
    if !asked.is_empty() {
        say!("\nWhat this bucket was asked, and what follows");
    }
    for Asked { question, answer, meaning, .. } in asked {
        let (answer, reason) = match answer {
            Answer::Yes => ("yes", None),
            Answer::No(reason) => ("no", Some(reason)),
            Answer::Open(reason) => ("open", Some(reason)),
        };
        say!("{answer:<5} {question}: {meaning}");
        if let Some(reason) = reason {
            say!("{:<5} ({reason})", "");
        }
    }
    if !proofs.is_empty() {
        say!("\nHow a blob's digest is proven here");
    }
    for Proven { upload, proof, method } in proofs {
        say!("{:<25} {proof:<15} {}", upload.description(), method.description());
    }
}
