//! `overside doctor` for a bucket: every operation an upload needs, with tiny objects, each failure with its mend.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;

use super::presign::{PROBE_TIMEOUT, http_client, send};
use super::{S3, classify};
use crate::domain::clock::Clock;
use crate::domain::digest::Algorithm;
use crate::domain::part::{MIN_PART_SIZE, Part, PartNumber};
use crate::domain::range::ByteRange;
use crate::domain::upload::{Transfer, UploadId};
use crate::log_text::chain;
use crate::storage::capability::UrlGuards;
use crate::storage::{Finding, Lengths, PutTerms, Result, Sealed, StorageError, key};

/// Beyond this AWS refuses every signature (Amazon S3 API Reference, RequestTimeTooSkewed).
const MAX_CLOCK_SKEW: TimeDelta = TimeDelta::minutes(15);
/// Worth a warning: presigned URLs lose so much of their life.
const NOTABLE_CLOCK_SKEW: TimeDelta = TimeDelta::minutes(1);
const CONTENT: &[u8] = b"overside examines this bucket";

impl S3 {
    /// Examines the bucket; what it writes lies below the temporary prefix and goes again.
    pub async fn examine(&self, clock: &Clock) -> Vec<Finding> {
        let mut findings = Vec::new();
        let http = match http_client() {
            Ok(http) => http,
            Err(error) => {
                return vec![Finding::broken("TLS", chain(&error), "check the system's certificates")];
            }
        };
        findings.push(self.clock_skew(&http, clock).await);
        let mend = "check --storage, --s3-endpoint, --s3-path-style, AWS_REGION and the credentials (AWS_ACCESS_KEY_ID …)";
        match self.check().await {
            Ok(()) => findings.push(Finding::good("bucket", format!("{} is reachable", self.bucket()))),
            Err(error) => {
                findings.push(Finding::broken("bucket", chain(&error), mend));
                return findings;
            }
        }
        let run = UploadId::generate();
        findings.push(self.put_get_delete(run).await);
        findings.push(self.presigned(run, &http).await);
        findings.push(self.multipart(UploadId::generate(), &http).await);
        findings.push(self.cors().await);
        findings.extend(self.versioning().await);
        // Whatever failed half-way goes as well.
        if let Err(error) = self.discard(run).await {
            let mend = "allow s3:ListBucket, s3:DeleteObject and s3:ListBucketMultipartUploads";
            findings.push(Finding::broken("cleaning", chain(&error), mend));
        }
        findings
    }

    async fn put_get_delete(&self, run: UploadId) -> Finding {
        let key = key::probe(run, "object");
        let cycle = async {
            self.put(&key, Bytes::from_static(CONTENT)).await?;
            let read = self.read_object(&key).await?;
            self.remove(&key).await?;
            Ok::<_, StorageError>(read)
        };
        match cycle.await {
            Ok(read) if read == CONTENT => Finding::good("objects", "put, get and delete work".to_owned()),
            Ok(_) => {
                Finding::broken("objects", "the store gives back other bytes".to_owned(), "use another store")
            }
            Err(error) => Finding::broken(
                "objects",
                chain(&error),
                "allow s3:PutObject, s3:GetObject and s3:DeleteObject",
            ),
        }
    }

    async fn presigned(&self, run: UploadId, http: &reqwest::Client) -> Finding {
        let mend =
            "set --s3-public-endpoint to an address that clients, and this machine, reach the store at";
        let terms = PutTerms { size: Some(CONTENT.len() as u64), digest: None };
        let sent = async {
            let headers = UrlGuards::default().put_headers(terms);
            let path = self.path(&key::temp_data(run));
            let request = self.upload_signer.put(&path, headers, PROBE_TIMEOUT).await?;
            accepted(send(http, &request, Bytes::from_static(CONTENT)).await?)
        };
        match sent.await {
            Ok(()) => Finding::good("presigned PUT", "the store takes it".to_owned()),
            Err(error) => Finding::broken("presigned PUT", chain(&error), mend),
        }
    }

    async fn multipart(&self, run: UploadId, http: &reqwest::Client) -> Finding {
        let first = Part { number: PartNumber::FIRST, offset: 0, size: MIN_PART_SIZE };
        let cycle = async {
            let store_upload_id = self.create_multipart(run).await?;
            let second =
                Part { number: first.number.next().unwrap_or(first.number), offset: first.size, size: 1 };
            let path = self.path(&key::temp_data(run));
            let signer = self
                .upload_signer
                .parts(&path, &store_upload_id, Lengths::Signed, Vec::new(), PROBE_TIMEOUT)
                .await?;
            for part in [first, second] {
                let size = usize::try_from(part.size).unwrap_or_default();
                let request = signer.sign(part);
                accepted(send(http, &request, vec![7; size].into()).await?)?;
            }
            let parts = self.list_parts(run, &store_upload_id).await?;
            self.complete_multipart(run, &store_upload_id, &parts).await?;
            let sealed = self.seal(run, &Transfer::Put, Algorithm::Sha256, false).await?;
            let copy = key::probe(run, "copy");
            self.copy(&sealed, &copy, None).await?;
            let end = sealed.size;
            let copied = Sealed { key: copy, etag: None, ..sealed };
            let (to, mut bytes) = mpsc::channel(1);
            self.read(&copied, ByteRange { start: end - 1, end }, &to).await?;
            bytes.recv().await.ok_or(StorageError::NotFound)
        };
        let outcome = cycle.await;
        let discarded = self.discard(run).await;
        match outcome.and_then(|last| discarded.map(|()| last)) {
            Ok(last) if last.as_ref() == [7] => {
                Finding::good("multipart", "presigned parts, complete, copy and ranged get work".to_owned())
            }
            Ok(_) => Finding::broken("multipart", "the copy has other bytes".to_owned(), "use another store"),
            Err(error) => Finding::broken(
                "multipart",
                chain(&error),
                "allow s3:PutObject, s3:ListMultipartUploadParts, s3:AbortMultipartUpload and s3:ListBucket",
            ),
        }
    }

    async fn cors(&self) -> Finding {
        let mend = "only browsers need it: allow PUT, GET and HEAD from your origins with all headers and expose ETag, \
                    as localstack/cors.json does";
        let rules = self.client.get_bucket_cors().bucket(self.bucket()).send().await;
        let rules = match rules {
            Ok(cors) => cors.cors_rules.unwrap_or_default(),
            Err(error) => {
                let detail = chain(&classify("tell its CORS rules")(error));
                return Finding::warning("CORS", detail, mend);
            }
        };
        let fits = rules.iter().any(|rule| {
            let methods = rule.allowed_methods();
            let allows = |method: &str| methods.iter().any(|allowed| allowed == method || allowed == "*");
            let exposes =
                rule.expose_headers().iter().any(|name| name == "*" || name.eq_ignore_ascii_case("etag"));
            ["PUT", "GET", "HEAD"].into_iter().all(allows) && exposes && !rule.allowed_headers().is_empty()
        });
        if fits {
            Finding::good("CORS", "browsers may upload and download".to_owned())
        } else {
            Finding::warning("CORS", "no rule lets browsers upload".to_owned(), mend)
        }
    }

    /// Nothing to say of a bucket without versions, and of a store that does not know them.
    async fn versioning(&self) -> Option<Finding> {
        let answer = self.client.get_bucket_versioning().bucket(self.bucket()).send().await.ok()?;
        let mend = "add a lifecycle rule that expires noncurrent versions after some days";
        let detail = "is on: what is deleted stays as a noncurrent version".to_owned();
        answer.status().map(|_| Finding::warning("versioning", detail, mend))
    }

    /// Compares the clock that signs with the `Date` of any answer, also one that refuses us.
    async fn clock_skew(&self, http: &reqwest::Client, clock: &Clock) -> Finding {
        let mend =
            "set the clocks of the database and the store, by NTP for instance: signatures carry the time";
        let endpoint = match &self.settings.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("https://{}.s3.amazonaws.com", self.bucket()),
        };
        let answer = match http.head(endpoint).send().await {
            Ok(answer) => answer,
            Err(error) => {
                return Finding::broken("clock", chain(&error), "check --s3-endpoint and the network");
            }
        };
        let date = answer.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
        let Some(theirs) = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()) else {
            return Finding::warning("clock", "the store does not tell its time".to_owned(), mend);
        };
        let skew = (clock.now() - theirs.with_timezone(&Utc)).abs();
        let detail = format!("{} s apart from the store's", skew.num_seconds());
        if skew > MAX_CLOCK_SKEW {
            Finding::broken("clock", detail, mend)
        } else if skew > NOTABLE_CLOCK_SKEW {
            Finding::warning("clock", detail, mend)
        } else {
            Finding::good("clock", detail)
        }
    }
}

fn accepted(status: reqwest::StatusCode) -> Result<()> {
    if status.is_success() {
        return Ok(());
    }
    Err(StorageError::unavailable("take a presigned request")(format!("it answered {status}")))
}
