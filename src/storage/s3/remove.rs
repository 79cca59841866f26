//! Removing what is published, and listing it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;

use super::sweep::time;
use super::{S3, classify};
use crate::domain::digest::Digest;
use crate::domain::upload::UploadId;
use crate::storage::{BlobCursor, BlobEntry, BlobPage, Result, StorageError, key};

const REMOVE: &str = "delete a blob";

impl S3 {
    /// By a request that was presigned to end at `until`: one that lies in a queue, or in a process that was
    /// stopped, is refused by the store itself once another upload may have put the blob there again.
    pub(in crate::storage) async fn remove_blob(&self, digest: &Digest, until: DateTime<Utc>) -> Result<()> {
        let left = (until - self.clock.now()).num_seconds();
        let lifetime = Duration::from_secs(u64::try_from(left).unwrap_or_default());
        let late = || StorageError::Busy("there is no time left to delete the blob");
        if lifetime.is_zero() {
            return Err(late());
        }
        let request = self.own_signer.delete(&self.path(&key::blob(digest)), lifetime).await?;
        // Signed later than the look at the clock, perhaps much later.
        if request.expires_at > until {
            return Err(late());
        }
        // The URL is a secret and stays out of every message.
        let sent = self.http()?.delete(&request.url).timeout(lifetime).send().await;
        let answer = sent.map_err(reqwest::Error::without_url).map_err(StorageError::unavailable(REMOVE))?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(StorageError::unavailable(REMOVE)(format!("it answered {status}"))),
        }
    }

    /// Makes sure that the store refuses a removal that ended `lag` ago: that it looks at a request's end at all, and that
    /// its clock is no further behind ours. Asked by such a request for what nobody has.
    pub(in crate::storage) async fn check_ends(&self, lag: Duration) -> Result<()> {
        let nothing = self.path(&key::temp_data(UploadId::generate()));
        let url = self.own_signer.ended_delete(&nothing, lag).await?;
        let sent = self.http()?.delete(&url).send().await;
        let answer = sent.map_err(reqwest::Error::without_url).map_err(StorageError::unavailable(REMOVE))?;
        match answer.status() {
            // Tells a refusal from a store that did it, and found nothing.
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(()),
            StatusCode::NOT_FOUND => Err(StorageError::IgnoresEnd { lag }),
            status if status.is_success() => Err(StorageError::IgnoresEnd { lag }),
            status => Err(StorageError::unavailable(REMOVE)(format!("it answered {status}"))),
        }
    }

    pub(in crate::storage) async fn blob_entries(&self, cursor: Option<BlobCursor>) -> Result<BlobPage> {
        let listing = self
            .client
            .list_objects_v2()
            .bucket(self.bucket())
            .prefix(format!("{}{}", self.settings.prefix, key::BLOB_PREFIX))
            .set_continuation_token(cursor.map(|cursor| cursor.0));
        let page = listing.send().await.map_err(classify("list objects"))?;
        let entries = page.contents().iter().filter_map(|object| {
            Some(BlobEntry {
                // What we did not put there is not ours to remove.
                digest: key::blob_digest(object.key()?.strip_prefix(&self.settings.prefix)?)?,
                size: u64::try_from(object.size().unwrap_or_default()).unwrap_or_default(),
                modified: time(object.last_modified()),
            })
        });
        let entries = entries.collect();
        Ok(BlobPage {
            entries,
            next: page.next_continuation_token().map(|token| BlobCursor(token.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, SharedCredentialsProvider};
    use axum::Router;
    use axum::http::Method;
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::clock::Clock;
    use crate::storage::s3::S3Settings;

    const LAG: Duration = Duration::from_secs(15);

    /// A store that judges a presigned request by a clock that is so far behind, as `SigV4` has it.
    async fn store(behind: TimeDelta) -> S3 {
        let judge = move |method: Method, uri: axum::http::Uri| async move {
            let query = uri.query().unwrap_or_default();
            let value =
                |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)).expect("it is signed");
            let signed = chrono::NaiveDateTime::parse_from_str(value("X-Amz-Date="), "%Y%m%dT%H%M%SZ");
            let life = TimeDelta::seconds(value("X-Amz-Expires=").parse().expect("seconds"));
            assert_eq!(method, Method::DELETE);
            let is_over = signed.expect("a time").and_utc() + life < Clock::System.now() - behind;
            if is_over { StatusCode::FORBIDDEN } else { StatusCode::NO_CONTENT }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(judge)).await });
        let settings = S3Settings {
            bucket: "bucket".to_owned(),
            prefix: String::new(),
            endpoint: Some(endpoint),
            public_endpoint: None,
            path_style: true,
        };
        let credentials = Credentials::new("key", "secret", None, None, "tests");
        let shared = aws_config::SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        S3::with_config(settings, &shared)
    }

    #[tokio::test]
    async fn a_store_whose_clock_is_further_behind_than_a_removal_tolerates_is_found_out() {
        for behind in [-TimeDelta::minutes(5), TimeDelta::zero(), TimeDelta::seconds(5)] {
            store(behind).await.check_ends(LAG).await.expect("its clock is good enough");
        }
        for behind in [TimeDelta::seconds(20), TimeDelta::minutes(5), TimeDelta::days(10_000)] {
            let found = store(behind).await.check_ends(LAG).await;
            assert!(matches!(found, Err(StorageError::IgnoresEnd { .. })), "{found:?}");
        }
    }
}
