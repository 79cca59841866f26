//! The tests' own S3 client: they look into the bucket with it, beside the code under test.

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedCredentialsProvider,
};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use overside::storage::s3::S3Settings;
use url::Url;

use super::servers::{BUCKET, Keys, REGION};

pub fn credentials(Keys { access_key, secret_key }: Keys) -> Credentials {
    Credentials::new(access_key, secret_key, None, None, "tests")
}

/// How the code under test is told of the tests' bucket, below `prefix`.
pub fn settings(endpoint: &Url, prefix: &str) -> S3Settings {
    S3Settings {
        bucket: BUCKET.to_owned(),
        prefix: format!("{prefix}/"),
        endpoint: Some(address(endpoint)),
        public_endpoint: None,
        path_style: true,
    }
}

/// An endpoint as `--s3-endpoint` is kept.
pub fn address(endpoint: &Url) -> String {
    endpoint.as_str().trim_end_matches('/').to_owned()
}

/// What the code under test connects with where its keys are not those of the environment.
pub fn config(keys: Keys) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .credentials_provider(SharedCredentialsProvider::new(credentials(keys)))
        .region(Region::from_static(REGION))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

pub fn client(endpoint: &Url, keys: Keys) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .credentials_provider(credentials(keys))
        .region(Region::from_static(REGION))
        .endpoint_url(endpoint.as_str().trim_end_matches('/'))
        .force_path_style(true)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::standard())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

/// Keys and sizes of the objects below `prefix`.
pub async fn objects(client: &Client, prefix: &str) -> Vec<(String, u64)> {
    let mut pages = client.list_objects_v2().bucket(BUCKET).prefix(prefix).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        for object in page.expect("the bucket lists its objects").contents.unwrap_or_default() {
            found.push((object.key.unwrap_or_default(), object.size.unwrap_or_default().unsigned_abs()));
        }
    }
    found
}

/// Keys and ids of the incomplete multipart uploads below `prefix`.
pub async fn multipart_uploads(client: &Client, prefix: &str) -> Vec<(String, String)> {
    list_multipart_uploads(client, prefix, Some(prefix)).await
}

/// The same from a list of all: `MinIO` has none for the beginning of a key (minio issue 20989).
pub async fn multipart_uploads_among_all(client: &Client, prefix: &str) -> Vec<(String, String)> {
    list_multipart_uploads(client, prefix, None).await
}

async fn list_multipart_uploads(
    client: &Client,
    prefix: &str,
    asked_for: Option<&str>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let (mut key_marker, mut id_marker) = (None, None);
    loop {
        let page = client
            .list_multipart_uploads()
            .bucket(BUCKET)
            .set_prefix(asked_for.map(str::to_owned))
            .set_key_marker(key_marker)
            .set_upload_id_marker(id_marker)
            .send()
            .await
            .expect("the bucket lists its multipart uploads");
        for upload in page.uploads.unwrap_or_default() {
            let key = upload.key.unwrap_or_default();
            if key.starts_with(prefix) {
                found.push((key, upload.upload_id.unwrap_or_default()));
            }
        }
        if page.is_truncated != Some(true) {
            return found;
        }
        (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
    }
}

pub async fn get(client: &Client, key: &str) -> Option<ByteStream> {
    match client.get_object().bucket(BUCKET).key(key).send().await {
        Ok(object) => Some(object.body),
        Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => None,
        Err(error) => panic!("reading {key}: {error:?}"),
    }
}

/// Removes every object below `prefix`, and these multipart uploads.
pub async fn empty(client: &Client, prefix: &str, multipart_uploads: Vec<(String, String)>) {
    for (key, id) in multipart_uploads {
        // One that has gone since it was listed is as good.
        let _ = client.abort_multipart_upload().bucket(BUCKET).key(key).upload_id(id).send().await;
    }
    for (key, _) in objects(client, prefix).await {
        let _ = client.delete_object().bucket(BUCKET).key(key).send().await;
    }
}
