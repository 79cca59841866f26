//! Every setting: one documented flag, one environment variable `OVERSIDE_*`.

mod connections;
mod storage_location;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use url::Url;

use crate::auth::oidc::IssuerConfig;
use crate::domain::duration::{self, LONGEST, LONGEST_URL_LIFETIME};
use crate::domain::limits::Limits;
use crate::domain::part::{DEFAULT_PART_SIZE, MAX_OBJECT_SIZE, MAX_PART_SIZE, MIN_PART_SIZE};
use crate::http::redirects::{Clients, RedirectMode, Redirects};
use crate::telemetry::LogFormat;

pub use connections::ConnectionConfig;
pub use storage_location::StorageLocation;

/// The variable that names the database.
pub const DATABASE: &str = "OVERSIDE_DATABASE";
/// The embedded default: a file of the folder that the service runs in.
pub const DEFAULT_DATABASE: &str = "sqlite://data/overside.db";

/// Where sessions and bytes are kept.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database and store")]
pub struct StoreConfig {
    /// `postgres://USER:PASSWORD@HOST/DATABASE`, or `sqlite://PATH` for a single machine
    #[arg(
        long,
        env = DATABASE,
        default_value = DEFAULT_DATABASE,
        hide_env_values = true
    )]
    pub database: String,

    /// Most connections held to PostgreSQL
    #[arg(long, env = "OVERSIDE_DATABASE_CONNECTIONS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..))]
    pub database_connections: u32,

    /// `s3://BUCKET[/PREFIX]`, with credentials from the standard AWS chain, or `file://PATH`
    #[arg(long, env = "OVERSIDE_STORAGE", default_value = "file://data/store")]
    pub storage: StorageLocation,

    /// The S3 endpoint as this server reaches it, for stores other than AWS
    #[arg(long, env = "OVERSIDE_S3_ENDPOINT", value_name = "URL")]
    pub s3_endpoint: Option<Url>,

    /// The S3 endpoint as clients reach it, if that is another; presigned URLs are made for it
    #[arg(long, env = "OVERSIDE_S3_PUBLIC_ENDPOINT", value_name = "URL")]
    pub s3_public_endpoint: Option<Url>,

    /// Address buckets as ENDPOINT/BUCKET instead of BUCKET.ENDPOINT; most stores other than AWS need it
    #[arg(long, env = "OVERSIDE_S3_PATH_STYLE")]
    pub s3_path_style: bool,

    /// How long one copy inside the S3 store may take; blobs are copied in parts that fit, and proven otherwise where
    /// that is not enough. Less than after what the store, or a proxy before it, cuts requests off
    #[arg(long, env = "OVERSIDE_COPY_TIMEOUT", default_value = "110s", value_parser = duration)]
    pub copy_timeout: Duration,

    /// Prove what clients send to the bucket by copies inside it, also where reading it back was seen to be faster:
    /// no byte of it passes this server, unless no copy proves it
    #[arg(long, env = "OVERSIDE_AVOID_READING_BACK")]
    pub avoid_reading_back: bool,

    /// The access key that clients' PUTs to the bucket are signed with: one that may only put below PREFIX/temp/, so that
    /// no URL permits more. Its secret comes from
    /// `OVERSIDE_S3_UPLOAD_SECRET_KEY` or a file
    #[arg(long, env = "OVERSIDE_S3_UPLOAD_ACCESS_KEY", value_name = "KEY")]
    pub s3_upload_access_key: Option<String>,

    /// A file with the secret of --s3-upload-access-key
    #[arg(
        long,
        env = "OVERSIDE_S3_UPLOAD_SECRET_KEY_FILE",
        value_name = "FILE",
        requires = "s3_upload_access_key"
    )]
    pub s3_upload_secret_key_file: Option<PathBuf>,

    /// The address clients reach this server at; URLs that this server signs itself are made for it
    /// [default: where each client found it]
    #[arg(long, env = "OVERSIDE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<Url>,
}

/// Whether uploads of stock clients are redirected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RedirectUploads {
    /// Those of clients that are known to follow.
    Auto,
    Off,
}

/// Lifetimes and sizes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitConfig {
    /// An upload that gives no sign of life for this long expires
    #[arg(long, env = "OVERSIDE_UPLOAD_LIFETIME", default_value = "24h", value_parser = duration)]
    pub upload_lifetime: Duration,

    /// How long a presigned URL lives; asking again gives a new one, so short is safe. At most 7 days
    #[arg(long, env = "OVERSIDE_URL_LIFETIME", default_value = "15m", value_parser = url_lifetime)]
    pub url_lifetime: Duration,

    /// Whether stock clients that are known to follow (containerd from 2.2 on and what is made of it) are sent to the
    /// bucket with what they upload
    #[arg(long, env = "OVERSIDE_REDIRECT_UPLOADS", value_name = "WHEN", default_value = "auto")]
    pub redirect_uploads: RedirectUploads,

    /// How long a replica that died keeps the others from taking over its work
    #[arg(long, env = "OVERSIDE_LEASE", default_value = "30s", value_parser = duration)]
    pub lease: Duration,

    /// Smallest part of a multipart upload; parts grow beyond it where 10,000 would not be enough
    #[arg(long, env = "OVERSIDE_PART_SIZE", default_value_t = ByteSize(DEFAULT_PART_SIZE), value_parser = part_size)]
    pub part_size: ByteSize,

    /// Largest blob taken
    #[arg(long, env = "OVERSIDE_MAX_BLOB_SIZE", default_value = "50000GiB", value_parser = blob_size)]
    pub max_blob_size: ByteSize,

    /// Age from which a temporary object that no session knows is removed, or a published one that no row tells of
    #[arg(long, env = "OVERSIDE_SWEEP_GRACE", default_value = "1h", value_parser = duration)]
    pub sweep_grace: Duration,

    /// How long a blob stays in a repository after its last manifest, and in the store after its last repository.
    /// Longer than any push or download takes; 0s only while there are none
    #[arg(long, alias = "grace", env = "OVERSIDE_GC_GRACE", default_value = "24h", value_parser = grace)]
    pub gc_grace: Duration,

    /// How long an ended upload still answers questions about it
    #[arg(long, env = "OVERSIDE_RETENTION", default_value = "7d", value_parser = duration)]
    pub retention: Duration,
}

/// What goes to standard error.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogConfig {
    /// Lines for people or for machines
    #[arg(long, env = "OVERSIDE_LOG_FORMAT", default_value = "text", global = true)]
    pub log_format: LogFormat,

    /// Say what is done: every request of a client, more of what a server does
    #[arg(long, short, global = true)]
    pub verbose: bool,

    /// What to log: a level, or directives such as overside=debug,sqlx=warn [default: info for serve, else warn]
    #[arg(long, env = "OVERSIDE_LOG", global = true)]
    pub log: Option<String>,
}

/// Who has to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// Nobody.
    None,
    /// Whoever does more than pull from public projects: with a password, a personal access token or a robot's secret
    Token,
}

/// Deliveries of webhooks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Webhooks")]
pub struct WebhookConfig {
    /// Deliver webhooks also to this machine and to private networks: whoever manages a project can then have this server
    /// send requests to what is there
    #[arg(long, env = "OVERSIDE_WEBHOOK_PRIVATE_ADDRESSES")]
    pub webhook_private_addresses: bool,

    /// How long the receiver of a webhook may take to answer
    #[arg(long, env = "OVERSIDE_WEBHOOK_TIMEOUT", default_value = "10s", value_parser = webhook_timeout)]
    pub webhook_timeout: Duration,
}

/// The service itself.
#[derive(Debug, Clone, Args)]
pub struct ServeConfig {
    /// Address and port to listen on; port 0 takes a free one and prints it
    #[arg(long, env = "OVERSIDE_LISTEN", default_value = "127.0.0.1:5000")]
    pub listen: SocketAddr,

    /// Whether people and programs have to sign in; with `none` nobody does, and only this machine is served
    #[arg(long, env = "OVERSIDE_AUTH", default_value = "none")]
    pub auth: AuthMode,

    /// The name that access tokens are issued for (`service` of the challenge, `aud` of the token)
    #[arg(long, env = "OVERSIDE_TOKEN_SERVICE", default_value = "overside", value_parser = service_name)]
    pub token_service: String,

    /// How long an access token lives; clients get another by themselves
    #[arg(long, env = "OVERSIDE_TOKEN_LIFETIME", default_value = "5m", value_parser = token_lifetime)]
    pub token_lifetime: Duration,

    /// Age at which the key that signs access tokens gets a successor
    #[arg(long, env = "OVERSIDE_TOKEN_KEY_LIFETIME", default_value = "7d", value_parser = duration)]
    pub token_key_lifetime: Duration,

    /// An OIDC issuer whose tokens are taken, and what its claims mean:
    /// `issuer=URL,audience=NAME[,user=CLAIM][,projects=CLAIM][,role=ROLE]`. May be given several times (in the
    /// environment: with spaces between)
    #[arg(long, env = "OVERSIDE_OIDC", value_name = "ISSUER", value_delimiter = ' ')]
    pub oidc: Vec<IssuerConfig>,

    /// Listen beyond this machine although nobody has to sign in: whoever reaches the port may push and pull
    #[arg(long, env = "OVERSIDE_INSECURE_NO_AUTH")]
    pub insecure_no_auth: bool,

    /// Pages of this origin (`https://ui.example`) may call the service from a browser; `*` for all, may be given again
    #[arg(long, env = "OVERSIDE_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',', value_parser = cors_origin)]
    pub cors_origin: Vec<String>,

    /// Whether downloads are sent to the bucket: those of all clients, of all but the clients that are known not to
    /// follow there, or none; then every byte passes this server
    #[arg(long, env = "OVERSIDE_REDIRECT_DOWNLOADS", value_name = "WHEN", default_value = "auto")]
    pub redirect_downloads: RedirectMode,

    /// With `auto`: whose downloads pass this server all the same, by address (`10.0.0.0/8`) or by a part of their
    /// User-Agent (`podman/`); may be given again
    #[arg(long, env = "OVERSIDE_NO_REDIRECT_FOR", value_name = "CLIENTS", value_delimiter = ',')]
    pub no_redirect_for: Vec<Clients>,

    #[command(flatten)]
    pub webhooks: WebhookConfig,

    #[command(flatten)]
    pub connections: ConnectionConfig,

    /// Time between two cleanings
    #[arg(long, env = "OVERSIDE_CLEAN_INTERVAL", default_value = "5m", value_parser = duration)]
    pub clean_interval: Duration,

    /// Time between two collections of blobs that no repository has any more
    #[arg(long, env = "OVERSIDE_GC_INTERVAL", default_value = "1h", value_parser = duration)]
    pub gc_interval: Duration,

    /// How long requests in flight may go on after SIGTERM before their work is handed over
    #[arg(long, env = "OVERSIDE_SHUTDOWN_GRACE", default_value = "25s", value_parser = duration)]
    pub shutdown_grace: Duration,

    /// Ask the bucket anew what it can be relied on for, instead of taking over what a start or `overside doctor`
    /// saw within the last 24 hours: after the store was changed
    #[arg(long, env = "OVERSIDE_PROBE_REFRESH")]
    pub probe_refresh: bool,

    /// Prove what clients send to the bucket by reading it, whatever digests the store enforces or computes:
    /// costs the blob's bytes once, and saves the client the wait for a copy that proves
    #[arg(long, env = "OVERSIDE_STORE_INDEPENDENT_PROOFS")]
    pub store_independent_proofs: bool,

    #[command(flatten)]
    pub store: StoreConfig,

    #[command(flatten)]
    pub limits: LimitConfig,
}

impl ServeConfig {
    #[must_use]
    pub fn redirects(&self) -> Redirects {
        Redirects { mode: self.redirect_downloads, exceptions: self.no_redirect_for.clone() }
    }

    /// Refuses to open an unguarded door by accident.
    pub fn check(&self) -> Result<(), String> {
        match self.auth {
            AuthMode::None if !self.listen.ip().is_loopback() && !self.insecure_no_auth => Err(format!(
                "{} is reachable from other machines and nobody has to sign in; say --auth token, listen on \
                 127.0.0.1, or say --insecure-no-auth if a proxy in front checks who may push and pull",
                self.listen
            )),
            _ => Ok(()),
        }
    }
}

impl LimitConfig {
    #[must_use]
    pub const fn limits(&self) -> Limits {
        Limits {
            upload_lifetime: self.upload_lifetime,
            url_lifetime: self.url_lifetime,
            redirect_uploads: matches!(self.redirect_uploads, RedirectUploads::Auto),
            lease: self.lease,
            part_size: self.part_size.0,
            max_blob_size: self.max_blob_size.0,
            sweep_grace: self.sweep_grace,
            collect_grace: self.gc_grace,
            retention: self.retention,
        }
    }
}

/// A receiver that takes longer is as good as down, and holds the place of another.
fn webhook_timeout(text: &str) -> Result<Duration, String> {
    duration::parse(text, &(Duration::from_millis(100)..=Duration::from_mins(1)))
}

fn duration(text: &str) -> Result<Duration, String> {
    duration::parse(text, &(Duration::from_millis(1)..=LONGEST))
}

/// Clients take a token that says less for one of a minute (Docker, "Token Authentication Specification").
pub(crate) fn token_lifetime(text: &str) -> Result<Duration, String> {
    duration::parse(text, &(Duration::from_mins(1)..=Duration::from_hours(24)))
}

/// As a browser sends it (RFC 6454 §6.2): scheme, host and port, and nothing else.
fn cors_origin(text: &str) -> Result<String, String> {
    let is_origin = Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text);
    if text == "*" || is_origin {
        return Ok(text.to_owned());
    }
    Err("an origin is written https://ui.example or http://localhost:8080, without a path; * is every origin"
        .to_owned())
}

/// It goes between the quotes of a header.
pub(crate) fn service_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/');
    if !text.is_empty() && text.len() <= 255 && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("is made of letters, digits and '.', '-', '_', ':', '/'".to_owned())
    }
}

fn grace(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") { Ok(Duration::ZERO) } else { duration(text) }
}

fn url_lifetime(text: &str) -> Result<Duration, String> {
    duration::parse(text, &(Duration::from_secs(1)..=LONGEST_URL_LIFETIME))
}

fn part_size(text: &str) -> Result<ByteSize, String> {
    size_between(text, MIN_PART_SIZE, MAX_PART_SIZE)
}

fn blob_size(text: &str) -> Result<ByteSize, String> {
    size_between(text, 1, MAX_OBJECT_SIZE)
}

fn size_between(text: &str, least: u64, most: u64) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|error| format!("{error}; write it like 8MiB or 5GiB"))?;
    if (least..=most).contains(&size.0) {
        Ok(size)
    } else {
        Err(format!("must be from {} to {}", ByteSize(least), ByteSize(most)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_bucket_with_a_prefix_or_a_folder() {
        let s3 = |bucket: &str, prefix: &str| {
            Ok(StorageLocation::S3 { bucket: bucket.into(), prefix: prefix.into() })
        };
        assert_eq!("s3://bucket".parse(), s3("bucket", ""));
        assert_eq!("s3://bucket/".parse(), s3("bucket", ""));
        assert_eq!("s3://bucket/a/b/".parse(), s3("bucket", "a/b/"));
        assert_eq!("file:///srv/store".parse(), Ok(StorageLocation::File("/srv/store".into())));
        for bad in
            ["", "bucket", "s3://", "s3://B/", "s3://bucket/a b", "s3://bucket/../x", "file://", "gs://b"]
        {
            assert!(bad.parse::<StorageLocation>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_lifetimes_stay_within_what_stores_take() {
        assert!(part_size("5MiB").is_ok());
        assert!(part_size("4MiB").is_err());
        assert!(url_lifetime("7d").is_ok());
        assert!(url_lifetime("8d").is_err());
        assert!(duration("0s").is_err());
        assert!(duration("soon").is_err());
    }
}
