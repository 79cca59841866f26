//! Where requests go. Region, dual stack, FIPS, the bucket in the host or in the path: these rules are the SDK's.
//! It presigns one request, and what it made of the endpoint is read off that.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Config;
use aws_sdk_s3::presigning::PresigningConfig;
use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;

use super::credentials::Held;
use super::stamp::Stamp;
use super::{PATH, SIGN, encode, whole};
use crate::storage::s3::describe;
use crate::storage::{Result, StorageError};

/// The key that the SDK is asked about.
const KEY: &str = "key";
/// Any life will do: nobody uses the URL.
const LIFETIME: Duration = Duration::from_secs(1);

/// An endpoint as requests to one bucket see it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Scheme, host and port.
    origin: String,
    /// What the `Host` header says.
    host: String,
    /// What comes before the key, with its slashes, encoded.
    base: String,
    /// Region, service and terminator, as a signature names them.
    scope: String,
}

impl Target {
    /// Asks the SDK, and makes sure that what it signs is what is signed here: it has other ways for directory
    /// buckets, and may learn more.
    pub async fn ask(sdk: &Client, bucket: &str, held: &Held, now: DateTime<Utc>) -> Result<Self> {
        let lifetime = held.lifetime(now, LIFETIME)?;
        let config = PresigningConfig::builder().start_time(now.into()).expires_in(lifetime).build();
        let presigned = sdk
            .get_object()
            .bucket(bucket)
            .key(KEY)
            .customize()
            // Those that it would get by itself may be newer already.
            .config_override(Config::builder().credentials_provider(held.credentials().clone()))
            .presigned(config.map_err(StorageError::unavailable(SIGN))?)
            .await
            .map_err(|error| StorageError::unavailable(SIGN)(describe(&error)))?;
        let target = Self::read(presigned.uri());
        match target {
            Some(target) if target.signs(held, now, lifetime)? == presigned.uri() => Ok(target),
            _ => Err(StorageError::unavailable(SIGN)(
                "the AWS SDK signs requests to this bucket in a way that is not supported here; use a general \
                 purpose bucket",
            )),
        }
    }

    /// The same request as signed here.
    fn signs(&self, held: &Held, now: DateTime<Utc>, lifetime: Duration) -> Result<String> {
        let stamp = Stamp::new(held, self.scope(), now, lifetime)?;
        Ok(whole(self, &stamp, "GET", "x-id=GetObject", KEY, &[]))
    }

    fn read(url: &str) -> Option<Self> {
        let (address, query) = url.split_once('?')?;
        let (scheme, rest) = address.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/')?);
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let mut parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
        let (_, credential) = parameters.find(|(name, _)| *name == "X-Amz-Credential")?;
        let credential = percent_decode_str(credential).decode_utf8().ok()?;
        // Access key, date, region, service, terminator; no slash but in the first.
        let (scope_start, _) = credential.rmatch_indices('/').nth(2)?;
        Some(Self {
            origin: format!("{scheme}://{authority}"),
            host: authority.strip_suffix(default_port).unwrap_or(authority).to_owned(),
            base: path.strip_suffix(KEY)?.to_owned(),
            scope: credential[scope_start + 1..].to_owned(),
        })
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn path(&self, key: &str) -> String {
        format!("{}{}", self.base, encode(key, PATH))
    }

    pub fn scope(&self) -> &str {
        &self.scope
    }
}
