//! Whether the key that clients' URLs are signed with can do nothing but put below `temp/`: then nothing that a store
//! obeys can be turned into more.

use std::time::Duration;

use aws_sdk_s3::Config;
use bytes::Bytes;
use reqwest::StatusCode;

use super::{Answer, CONTENT, Probe};
use crate::storage::s3::UploadKey;
use crate::storage::s3::classify;
use crate::storage::s3::presign::{PROBE_TIMEOUT, http_client, send};
use crate::storage::s3::signer::Signer;
use crate::storage::{Result, StorageError};

/// For the key's grasp beyond what is temporary. What a PUT that should have been refused leaves here is removed.
const ELSEWHERE: &str = "blobs/probe-of-the-upload-key";
const LIFETIME: Duration = PROBE_TIMEOUT;

impl Probe<'_> {
    pub(super) async fn upload_key_restricted(&self, signer: &Signer, key: &UploadKey) -> Result<Answer> {
        let http = http_client()?;
        let temp = self.key("restricted");
        self.store.put(&temp, Bytes::from_static(CONTENT)).await?;
        let temp = self.store.path(&temp);
        let elsewhere = format!("{}{ELSEWHERE}", self.store.settings().prefix);
        let reads = [signer.get(&temp, LIFETIME).await?, signer.get(&elsewhere, LIFETIME).await?];
        for url in reads {
            let answer = http.get(url).send().await.map_err(reqwest::Error::without_url);
            // Also what is not there: to whoever may not read, all is forbidden.
            if !is_forbidden(answer.map_err(StorageError::unavailable("be read"))?.status())? {
                return Ok(Answer::No("it can read".to_owned()));
            }
        }
        let headers = vec![("content-length".to_owned(), CONTENT.len().to_string())];
        let put = signer.put(&elsewhere, headers, LIFETIME).await?;
        let status = send(&http, &put, Bytes::from_static(CONTENT)).await?;
        if status.is_success() {
            self.store.remove_path(&elsewhere).await?;
        }
        if !is_forbidden(status)? {
            return Ok(Answer::No("it can write outside temp/".to_owned()));
        }
        let delete = signer.delete(&temp, LIFETIME).await?;
        let deleted = http.delete(&delete.url).send().await.map_err(reqwest::Error::without_url);
        let deleted = deleted.map_err(StorageError::unavailable("delete an object"))?.status();
        if !is_forbidden(deleted)? {
            return Ok(Answer::No("it can delete".to_owned()));
        }
        let listed = self.store.client().list_objects_v2().bucket(&self.store.settings().bucket).customize();
        let with_key = Config::builder().credentials_provider(key.credentials());
        let listed = listed.config_override(with_key).send().await.map_err(classify("list objects"));
        Ok(Answer::yes_if(listed.is_err(), "it can list the bucket"))
    }
}

fn is_forbidden(status: StatusCode) -> Result<bool> {
    if status.is_server_error() {
        return Err(StorageError::unavailable("take a presigned request")(format!("it answered {status}")));
    }
    Ok(matches!(status, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED))
}
