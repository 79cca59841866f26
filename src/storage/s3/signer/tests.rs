//! The SDK's presigner is the specification: every URL and every header is held against its own.

mod credentials;

use std::error::Error;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::presigning::{PresignedRequest as Presigned, PresigningConfig};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::MAX_URL_LIFETIME;
use crate::domain::clock::Clock;
use crate::domain::digest::Digest;
use crate::domain::part::{MAX_PART_SIZE, Part, PartNumber};
use crate::domain::upload::UploadId;
use crate::storage::s3::{CONTENT_TYPE, S3, S3Settings};
use crate::storage::{PresignedRequest, PutTerms, key};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// 2000 to 2100: every date that a four-digit year and a signature's life will see.
const TIMES: std::ops::Range<i64> = 946_684_800..4_102_444_800;

/// A bucket somewhere.
#[derive(Debug, Clone)]
struct Place {
    settings: S3Settings,
    region: String,
    fips: bool,
    dual_stack: bool,
}

fn places() -> impl Strategy<Value = Place> {
    let buckets = prop_oneof!["[a-z][a-z0-9-]{1,20}[a-z0-9]", Just("with.dots".to_owned())];
    let prefixes = prop_oneof![Just(String::new()), "[a-zA-Z0-9_./-]{1,30}/", "\\PC{1,20}/"];
    let aws = prop_oneof![Just("eu-central-1"), Just("us-east-1"), Just("us-gov-west-1"), Just("cn-north-1")];
    let amazon = (aws.prop_map(str::to_owned), Just(None), any::<bool>(), any::<bool>());
    let endpoints = "https?://(127\\.0\\.0\\.1|[a-z][a-z0-9]{0,9}(\\.[a-z]{2,9}){0,2})(:80|:443|:[1-9][0-9]{3})?(/[a-z]{1,5}){0,2}";
    let other = ("[a-z][a-z0-9-]{0,12}[a-z0-9]", endpoints.prop_map(Some), Just(false), Just(false));
    let located = prop_oneof![amazon, other];
    (buckets, prefixes, any::<bool>(), located).prop_map(
        |(bucket, prefix, path_style, (region, endpoint, fips, dual_stack))| {
            let settings = S3Settings { bucket, prefix, endpoint, public_endpoint: None, path_style };
            // China has no FIPS endpoints: the SDK refuses to make one up.
            let fips = fips && !region.starts_with("cn-");
            Place { settings, region, fips, dual_stack }
        },
    )
}

fn identities() -> impl Strategy<Value = Credentials> {
    ("[A-Za-z0-9/+_.-]{3,40}", "[!-~]{1,90}", option::of("[!-~]{1,1200}"))
        .prop_map(|(id, secret, token)| Credentials::new(id, secret, token, None, "test"))
}

fn store(place: Place, provider: impl ProvideCredentials + 'static, clock: &Clock) -> S3 {
    let shared = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(place.region))
        .use_fips(place.fips)
        .use_dual_stack(place.dual_stack)
        .credentials_provider(SharedCredentialsProvider::new(provider))
        .build();
    S3::with_clock(place.settings, &shared, clock)
}

fn ours(request: PresignedRequest) -> (String, Vec<(String, String)>) {
    let mut headers = request.headers;
    headers.sort();
    (request.url, headers)
}

fn theirs(request: &Presigned) -> (String, Vec<(String, String)>) {
    let headers = request.headers().filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    headers.sort();
    (request.uri().to_owned(), headers)
}

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

fn config(clock: &Clock, lifetime: Duration) -> Outcome<PresigningConfig> {
    Ok(PresigningConfig::builder().start_time(clock.now().into()).expires_in(lifetime).build()?)
}

/// A URL up to its query, and the query's parameters in one order: the signature holds in whatever order they come.
fn parameters(url: &str) -> (&str, Vec<&str>) {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let mut parameters: Vec<_> = query.split('&').collect();
    parameters.sort_unstable();
    (address, parameters)
}

/// Everything that is signed at one moment, by both.
async fn compare(store: &S3, clock: &Clock, asked: &Asked) -> Outcome {
    let (sdk, bucket, lifetime) = (&store.signer.sdk, store.bucket(), asked.lifetime);
    let temp = store.path(&key::temp_data(asked.upload));
    let (size, digest) = (asked.terms.size, asked.terms.digest);

    let sdk_put = sdk.put_object().bucket(bucket).key(&temp).content_type(CONTENT_TYPE);
    let sdk_put = sdk_put.set_content_length(size.map(i64::try_from).transpose()?);
    let sdk_put = sdk_put.set_checksum_sha256(digest.and_then(|digest| digest.to_base64()));
    let sdk_put = sdk_put.presigned(config(clock, lifetime)?).await?;
    let put = store.presign_put(asked.upload, asked.terms, lifetime).await?;
    let ends = clock.now() + TimeDelta::from_std(lifetime)?;
    assert_eq!(put.expires_at, ends);
    assert_eq!(ours(put), theirs(&sdk_put));

    let signer = store.part_signer(asked.upload, &asked.store_upload_id, lifetime).await?;
    assert_eq!(signer.expires_at(), ends);
    for &part in &asked.parts {
        let sdk_part = sdk.upload_part().bucket(bucket).key(&temp).upload_id(&asked.store_upload_id);
        let sdk_part = sdk_part.part_number(part.number.get().into()).content_length(part.size.try_into()?);
        let sdk_part = sdk_part.presigned(config(clock, lifetime)?).await?;
        assert_eq!(ours(signer.sign(part)), theirs(&sdk_part));
    }

    let digest = digest.unwrap_or(Digest::EMPTY);
    let blob = store.path(&key::blob(&digest));
    let sdk_get = sdk.get_object().bucket(bucket).key(blob).response_content_type(CONTENT_TYPE);
    let sdk_get = sdk_get.response_content_disposition("attachment");
    let sdk_get = sdk_get.presigned(config(clock, lifetime)?).await?;
    let get = store.presign_get(&key::blob(&digest), lifetime).await?;
    assert_eq!(parameters(&get), parameters(sdk_get.uri()));
    Ok(())
}

#[derive(Debug, Clone)]
struct Asked {
    upload: UploadId,
    store_upload_id: String,
    terms: PutTerms,
    parts: Vec<Part>,
    lifetime: Duration,
}

fn questions() -> impl Strategy<Value = Asked> {
    let numbers = (1..=10_000_u64).prop_filter_map("a part number", |number| PartNumber::new(number).ok());
    let parts = (numbers, 0..=MAX_PART_SIZE).prop_map(|(number, size)| Part { number, offset: 0, size });
    let digests = any::<[u8; 32]>().prop_map(Digest::from_sha256);
    let terms = (option::of(0..=MAX_PART_SIZE), option::of(digests));
    let terms = terms.prop_map(|(size, digest)| PutTerms { size, digest });
    // Stores choose upload ids: AWS's are of letters, digits, dots, dashes and underscores, others' of anything.
    let ids = prop_oneof!["[A-Za-z0-9._-]{1,140}", "[ -~]{1,60}", "\\PC{1,20}"];
    let lifetimes = (1..=MAX_URL_LIFETIME.as_secs()).prop_map(Duration::from_secs);
    (any::<u128>(), ids, terms, vec(parts, 1..4), lifetimes).prop_map(
        |(upload, store_upload_id, terms, parts, lifetime)| {
            let upload = UploadId::from_uuid(uuid::Uuid::from_u128(upload));
            Asked { upload, store_upload_id, terms, parts, lifetime }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_url_and_header_is_what_the_sdk_would_sign(
        place in places(),
        identity in identities(),
        first in TIMES,
        later in 0..200_000_i64,
        asked in vec(questions(), 2),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let clock = Clock::manual(time(first));
        let store = store(place, identity, &clock);
        // Twice by one signer: what it keeps of the first day must not show on the next.
        for asked in asked {
            let compared = runtime.block_on(compare(&store, &clock, &asked));
            prop_assert!(compared.is_ok(), "{compared:?}");
            clock.advance(TimeDelta::seconds(later));
        }
    }
}
