//! The SDK's presigner is the specification: every URL and every header is held against its own.

mod credentials;

use std::error::Error;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::http::HttpRequest;
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
use crate::storage::capability::{CHECKSUM_ALGORITHM, COPY_CONDITION, Capabilities, Capability, UrlGuards};
use crate::storage::s3::{CONTENT_TYPE, S3, S3Settings, UploadKey};
use crate::storage::signed_url::{SIGNING_KEY_LENGTH, UrlSigner};
use crate::storage::{Lengths, PresignedRequest, PutTerms, key};

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
    let store = S3::with_clock(place.settings, &shared, clock);
    store.set_capabilities(Capabilities::seen(guards().concat()));
    store
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

/// With every guard and with none.
fn guards() -> [Vec<Capability>; 2] {
    let guarded = vec![Capability::CopySourceGuarded, Capability::ChecksumAlgorithmGuarded];
    let refused = vec![Capability::CopySourceRefused, Capability::ChecksumAlgorithmRefused];
    [guarded, refused].map(|seen| [seen, Capability::FOR_URLS.to_vec()].concat())
}

/// Everything that is signed at one moment, by both.
async fn compare(store: &S3, clock: &Clock, asked: &Asked) -> Outcome {
    let (sdk, bucket, lifetime) = (&store.signer.sdk, store.bucket(), asked.lifetime);
    let temp = store.path(&key::temp_data(asked.upload));
    let (size, digest) = (asked.terms.size, asked.terms.digest);
    let guards = store.capabilities().url_guards().ok_or("URLs of the bucket are signed")?;
    // What the SDK has no setter for.
    let guard = |is_bound: bool| {
        let headers = UrlGuards { checksum_algorithm: guards.checksum_algorithm && is_bound, ..guards };
        move |request: &mut HttpRequest| {
            let names =
                [(headers.copy_source, COPY_CONDITION), (headers.checksum_algorithm, CHECKSUM_ALGORITHM)];
            for (_, (name, value)) in names.into_iter().filter(|(is_signed, _)| *is_signed) {
                request.headers_mut().insert(name, value);
            }
        }
    };

    let sdk_put = sdk.put_object().bucket(bucket).key(&temp).content_type(CONTENT_TYPE);
    let sdk_put = sdk_put.set_content_length(size.map(i64::try_from).transpose()?);
    let sdk_put = sdk_put.set_checksum_sha256(digest.and_then(|digest| digest.to_base64()));
    let sdk_put = sdk_put.customize().mutate_request(guard(digest.is_some()));
    let sdk_put = sdk_put.presigned(config(clock, lifetime)?).await?;
    let put = store.presign_put(asked.upload, asked.terms, lifetime).await?;
    let ends = clock.now() + TimeDelta::from_std(lifetime)?;
    assert_eq!(put.expires_at, ends);
    assert_eq!(ours(put), theirs(&sdk_put));

    for (&part, lengths) in asked.parts.iter().zip([Lengths::Signed, Lengths::Open].into_iter().cycle()) {
        let signer = store.part_signer(asked.upload, &asked.store_upload_id, lengths, lifetime).await?;
        assert_eq!(signer.expires_at(), ends);
        let sdk_part = sdk.upload_part().bucket(bucket).key(&temp).upload_id(&asked.store_upload_id);
        let sdk_part = sdk_part.part_number(part.number.get().into());
        let size = (lengths == Lengths::Signed).then(|| part.size.try_into()).transpose()?;
        let sdk_part = sdk_part.set_content_length(size).customize().mutate_request(guard(false));
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
        for (asked, seen) in asked.into_iter().zip(guards()) {
            store.set_capabilities(Capabilities::seen(seen));
            let compared = runtime.block_on(compare(&store, &clock, &asked));
            prop_assert!(compared.is_ok(), "{compared:?}");
            clock.advance(TimeDelta::seconds(later));
        }
    }
}

/// The SDK puts the bucket's name right behind a path (aws-sdk-rust issue 1387), and its own presigner with it: here it
/// is no specification.
#[tokio::test]
async fn an_endpoint_below_a_path_is_asked_below_it() {
    let clock = Clock::manual(time(TIMES.start));
    for (endpoint, path_style, expected) in [
        ("https://host/storage/v1/s3", true, "https://host/storage/v1/s3/bucket/prefix/"),
        ("https://host/storage/v1/s3/", true, "https://host/storage/v1/s3/bucket/prefix/"),
        ("https://host/storage/v1/s3", false, "https://bucket.host/storage/v1/s3/prefix/"),
        ("https://host/storage/v1/s3//", false, "https://bucket.host/storage/v1/s3/prefix/"),
        ("https://host:8443", true, "https://host:8443/bucket/prefix/"),
        ("https://host:8443/", false, "https://bucket.host:8443/prefix/"),
    ] {
        for endpoints in [(endpoint, None), ("http://within", Some(endpoint))] {
            let settings = S3Settings {
                bucket: "bucket".to_owned(),
                prefix: "prefix/".to_owned(),
                endpoint: Some(endpoints.0.to_owned()),
                public_endpoint: endpoints.1.map(str::to_owned),
                path_style,
            };
            let place = Place { settings, region: "eu-central-1".to_owned(), fips: false, dual_stack: false };
            let store = store(place, Credentials::new("id", "secret", None, None, "test"), &clock);
            let (upload, lifetime) = (UploadId::generate(), Duration::from_mins(1));
            let put = store.presign_put(upload, PutTerms { size: None, digest: None }, lifetime).await;
            let part = store.part_signer(upload, "id", Lengths::Signed, lifetime).await.expect("a signer");
            let part = part.sign(Part { number: PartNumber::FIRST, offset: 0, size: 1 });
            let get = store.presign_get(&key::temp_data(upload), lifetime).await.expect("a URL");
            for url in [put.expect("a URL").url, part.url, get] {
                assert!(url.starts_with(&format!("{expected}temp/")), "{endpoint} {path_style}: {url}");
            }
        }
    }
}

#[tokio::test]
async fn what_may_permit_too_much_leads_back_to_this_service() {
    let clock = Clock::manual(time(TIMES.start));
    let settings = S3Settings {
        bucket: "bucket".to_owned(),
        prefix: String::new(),
        endpoint: Some("http://within".to_owned()),
        public_endpoint: None,
        path_style: true,
    };
    let place = Place { settings, region: "eu-central-1".to_owned(), fips: false, dual_stack: false };
    let store = store(place, Credentials::new("id", "secret", None, None, "test"), &clock);
    store.set_capabilities(Capabilities::default());
    let (upload, lifetime) = (UploadId::generate(), Duration::from_mins(1));
    let terms = PutTerms { size: Some(1), digest: None };
    // A process that signs no URLs of its own has none to give.
    assert!(store.presign_put(upload, terms, lifetime).await.is_err());
    let signer = UrlSigner::new([7; SIGNING_KEY_LENGTH], "https://overside.example".parse().ok());
    let store = store.with_own_urls(signer);
    let put = store.presign_put(upload, terms, lifetime).await.expect("a URL");
    let parts = store.part_signer(upload, "id", Lengths::Signed, lifetime).await.expect("a signer");
    let part = parts.sign(Part { number: PartNumber::FIRST, offset: 0, size: 1 });
    for request in [put, part] {
        assert!(request.url.starts_with("https://overside.example/signed/"), "{}", request.url);
        assert_eq!(request.expires_at, clock.now() + TimeDelta::minutes(1));
    }
}

#[tokio::test]
async fn puts_are_signed_with_the_key_for_uploads_and_nothing_else_is() {
    let clock = Clock::manual(time(TIMES.start));
    let settings = S3Settings {
        bucket: "bucket".to_owned(),
        prefix: String::new(),
        endpoint: Some("http://within".to_owned()),
        public_endpoint: Some("http://without".to_owned()),
        path_style: true,
    };
    let place = Place { settings, region: "eu-central-1".to_owned(), fips: false, dual_stack: false };
    let store = store(place, Credentials::new("main", "secret", None, None, "test"), &clock);
    let identity = store.identity();
    let key = UploadKey { access_key: "uploads".to_owned(), secret_key: "hidden".to_owned() };
    let store = store.with_upload_key(key);
    assert_ne!(store.identity(), identity, "what was seen with one key says nothing of another");
    assert!(!format!("{store:?}").contains("hidden"));
    let (upload, lifetime) = (UploadId::generate(), Duration::from_mins(1));
    let put = store.presign_put(upload, PutTerms { size: None, digest: None }, lifetime).await;
    let parts = store.part_signer(upload, "id", Lengths::Signed, lifetime).await.expect("a signer");
    let part = parts.sign(Part { number: PartNumber::FIRST, offset: 0, size: 1 });
    let get = store.presign_get(&key::temp_data(upload), lifetime).await.expect("a URL");
    let credential =
        |url: &str| url.contains("http://without/") && url.contains("X-Amz-Credential=uploads%2F");
    assert!(credential(&put.expect("a URL").url) && credential(&part.url));
    assert!(get.contains("X-Amz-Credential=main%2F"));
}
