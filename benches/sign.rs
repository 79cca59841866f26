//! What signing costs. Needs no server: `cargo bench --bench sign`.

use std::hint::black_box;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_s3::presigning::PresigningConfig;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use overside::domain::clock::Clock;
use overside::domain::part::{DEFAULT_PART_SIZE, MAX_PART_COUNT, Part, PartNumber, PartPlan};
use overside::domain::upload::UploadId;
use overside::storage::capability::{Capabilities, Capability};
use overside::storage::s3::{S3, S3Settings};
use overside::storage::signed_url::{Grant, SIGNING_KEY_LENGTH, UrlSigner};
use overside::storage::{Lengths, Storage, key};
use tokio::runtime::Runtime;
use url::Url;

const BUCKET: &str = "bucket";
/// As long as AWS makes them.
const STORE_UPLOAD_ID: &str = "VXBsb2FkIElEIGZvciA2aWWpbmcncyBteS1tb3ZpZS5tMnRzIHVwbG9hZA.VXBsb2FkIElEIGZvciA2aWWpbmcncyBteS1tb3ZpZS5tMnRzIHVwbG9hZAVXBs";
const LIFETIME: Duration = Duration::from_mins(15);

fn store(session_token: Option<&str>) -> Storage {
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let token = session_token.map(str::to_owned);
    let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", secret, token, None, "bench");
    let shared = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-central-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    let settings = S3Settings {
        bucket: BUCKET.to_owned(),
        prefix: String::new(),
        endpoint: None,
        public_endpoint: None,
        path_style: false,
    };
    let store = S3::with_config(settings, &shared);
    let seen = Capability::FOR_URLS.into_iter().chain([Capability::CopySourceRefused]);
    store.set_capabilities(Capabilities::seen(seen));
    Storage::S3(store)
}

fn part_of_an_upload(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let upload = UploadId::generate();
    let part = Part { number: PartNumber::new(4711).expect("a number"), offset: 0, size: DEFAULT_PART_SIZE };
    // A role's token has about so many characters.
    let token = "t".repeat(900);
    let mut group = criterion.benchmark_group("sign one part URL");
    group.throughput(Throughput::Elements(1));
    for (name, token) in [("keys of a user", None), ("keys of a role", Some(token.as_str()))] {
        let storage = store(token);
        let signer =
            runtime.block_on(storage.part_signer(upload, STORE_UPLOAD_ID, Lengths::Signed, LIFETIME));
        let signer = signer.expect("keys are there");
        group.bench_function(format!("overside, {name}"), |bencher| {
            bencher.iter(|| signer.sign(black_box(part)));
        });
        let Storage::S3(s3) = &storage else { continue };
        group.bench_function(format!("SDK, {name}"), |bencher| {
            bencher.iter(|| runtime.block_on(sdk(s3, upload, black_box(part))));
        });
    }
    group.finish();
}

/// The same URL by the SDK.
async fn sdk(store: &S3, upload: UploadId, part: Part) -> String {
    let config = PresigningConfig::expires_in(LIFETIME).expect("a life within limits");
    let presigned = store
        .client()
        .upload_part()
        .bucket(BUCKET)
        .key(key::temp_data(upload).as_str())
        .upload_id(STORE_UPLOAD_ID)
        .part_number(part.number.get().into())
        .content_length(part.size.try_into().expect("a length"))
        .presigned(config)
        .await;
    presigned.expect("keys are there").uri().to_owned()
}

fn whole_upload(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let storage = store(None);
    let size = u64::from(MAX_PART_COUNT) * DEFAULT_PART_SIZE;
    let mut group = criterion.benchmark_group("plan and sign 10,000 parts");
    group.throughput(Throughput::Elements(MAX_PART_COUNT.into()));
    group.bench_function("overside", |bencher| {
        bencher.iter(|| {
            let plan = PartPlan::new(black_box(size), DEFAULT_PART_SIZE).expect("a plan");
            let signer =
                storage.part_signer(UploadId::generate(), STORE_UPLOAD_ID, Lengths::Signed, LIFETIME);
            let signer = runtime.block_on(signer).expect("keys are there");
            plan.parts().map(|part| signer.sign(part).url.len()).sum::<usize>()
        });
    });
    group.finish();
}

fn self_signed(criterion: &mut Criterion) {
    let base = Url::parse("https://uploads.example.org").expect("a URL");
    let signer = UrlSigner::new([7; SIGNING_KEY_LENGTH], Some(base));
    let (now, upload) = (Clock::System.now(), UploadId::generate());
    let number = PartNumber::new(4711).expect("a number");
    let part = Part { number, offset: 0, size: DEFAULT_PART_SIZE };
    let parts = signer.parts(upload, Lengths::Signed, now + LIFETIME);
    let mut group = criterion.benchmark_group("self-signed URL of a part");
    group.throughput(Throughput::Elements(1));
    group.bench_function("sign", |bencher| bencher.iter(|| parts.sign(black_box(part))));
    let url = Url::parse(&parts.sign(part).url).expect("a URL");
    let (path, query) = (url.path(), url.query().expect("a query"));
    group.bench_function("parse and check", |bencher| {
        bencher.iter(|| {
            let (grant, signature) = Grant::read(black_box(path), black_box(query)).expect("it can be read");
            signer.verify(&grant, &signature, now).expect("it holds");
        });
    });
    group.finish();
}

criterion_group!(benches, part_of_an_upload, whole_upload, self_signed);
criterion_main!(benches);
