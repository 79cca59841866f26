//! Credentials that change, end or cannot be had.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use futures_util::future::join_all;

use super::*;
use crate::log_text::chain;
use crate::storage::StorageError;

const START: i64 = 1_800_000_000;
const HOUR: i64 = 3600;

/// Gives what it is told to give, after a moment, and counts.
#[derive(Debug, Clone, Default)]
struct Provider(Arc<Giving>);

#[derive(Debug, Default)]
struct Giving {
    credentials: Mutex<Option<Credentials>>,
    asked: AtomicUsize,
}

impl Provider {
    fn gives(&self, id: &str, expires_at: Option<i64>) {
        let end = expires_at.map(|end| time(end).into());
        self.set(Some(Credentials::new(id, "the-secret", Some("the-token".to_owned()), end, "test")));
    }

    fn fails(&self) {
        self.set(None);
    }

    fn set(&self, credentials: Option<Credentials>) {
        *self.0.credentials.lock().unwrap_or_else(PoisonError::into_inner) = credentials;
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }
}

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.0.asked.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            let given = self.0.credentials.lock().unwrap_or_else(PoisonError::into_inner).clone();
            given.ok_or_else(|| CredentialsError::not_loaded("the role is gone"))
        })
    }
}

struct Fixture {
    provider: Provider,
    clock: Clock,
    store: S3,
}

impl Fixture {
    fn new() -> Self {
        let (provider, clock) = (Provider::default(), Clock::manual(time(START)));
        let settings = S3Settings {
            bucket: "bucket".to_owned(),
            prefix: String::new(),
            endpoint: None,
            public_endpoint: None,
            path_style: false,
        };
        let place = Place { settings, region: "eu-central-1".to_owned(), fips: false, dual_stack: false };
        let store = store(place, provider.clone(), &clock);
        Self { provider, clock, store }
    }

    /// Signs for an hour; the access key that it was signed with, its life and its end.
    async fn sign(&self) -> Result<(String, i64, i64), StorageError> {
        let terms = PutTerms { size: None, digest: None };
        let lifetime = Duration::from_secs(HOUR.unsigned_abs());
        let request = self.store.presign_put(UploadId::generate(), terms, lifetime).await?;
        let url = url::Url::parse(&request.url).map_err(StorageError::unavailable("give a URL"))?;
        let value = |name| {
            let found = url.query_pairs().find(|(key, _)| key == name);
            found.map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        let (credential, life) = (value("X-Amz-Credential"), value("X-Amz-Expires"));
        let id = credential.split('/').next().unwrap_or_default().to_owned();
        Ok((id, life.parse().unwrap_or_default(), request.expires_at.timestamp() - START))
    }

    fn advance(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }
}

fn signed(id: &str, life: i64, end: i64) -> (String, i64, i64) {
    (id.to_owned(), life, end)
}

#[tokio::test]
async fn a_url_ends_with_the_credentials_that_signed_it() -> Outcome {
    let fixture = Fixture::new();
    fixture.provider.gives("first", Some(START + 3 * HOUR));
    assert_eq!(fixture.sign().await?, signed("first", HOUR, HOUR));
    fixture.advance(2 * HOUR + 600);
    assert_eq!(fixture.sign().await?, signed("first", HOUR - 600, 3 * HOUR));
    assert_eq!(fixture.provider.asked(), 1);
    Ok(())
}

#[tokio::test]
async fn credentials_are_renewed_before_they_end_and_by_one_at_a_time() -> Outcome {
    let fixture = Fixture::new();
    fixture.provider.gives("first", Some(START + HOUR));
    for answer in join_all((0..50).map(|_| fixture.sign())).await {
        assert_eq!(answer?, signed("first", HOUR, HOUR));
    }
    assert_eq!(fixture.provider.asked(), 1);

    fixture.provider.gives("second", Some(START + 2 * HOUR));
    fixture.advance(HOUR - 301);
    assert_eq!(fixture.sign().await?.0, "first");
    fixture.advance(1);
    let answers = join_all((0..50).map(|_| fixture.sign())).await;
    let renewed =
        answers.iter().filter(|answer| answer.as_ref().is_ok_and(|(id, ..)| id == "second")).count();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!((renewed, fixture.provider.asked()), (1, 2), "the others do not wait for it");
    assert_eq!(fixture.sign().await?.0, "second");
    Ok(())
}

#[tokio::test]
async fn a_failing_provider_is_an_outage_only_once_what_it_gave_has_ended() -> Outcome {
    let fixture = Fixture::new();
    fixture.provider.gives("first", Some(START + HOUR));
    fixture.sign().await?;
    fixture.provider.fails();
    fixture.advance(HOUR - 60);
    assert_eq!(fixture.sign().await?, signed("first", 60, HOUR));
    assert_eq!(fixture.sign().await?, signed("first", 60, HOUR));
    assert_eq!(fixture.provider.asked(), 2, "it is not pressed");
    fixture.advance(11);
    assert_eq!(fixture.sign().await?.1, 49);
    assert_eq!(fixture.provider.asked(), 3);

    fixture.advance(49);
    let error = fixture.sign().await.err().ok_or("signed with what has ended")?;
    let text = chain(&error);
    assert!(matches!(error, StorageError::Unavailable { .. }));
    assert!(text.contains("AWS_ACCESS_KEY_ID") && text.contains("the role is gone"), "{text}");

    fixture.provider.gives("old", Some(START));
    fixture.advance(1);
    let error = fixture.sign().await.err().ok_or("signed with what has ended")?;
    assert!(chain(&error).contains("renew them"), "{}", chain(&error));

    fixture.provider.gives("new", None);
    fixture.advance(1);
    assert_eq!(fixture.sign().await?.0, "new", "once it is mended nothing else has to be done");
    fixture.advance(1000 * 24 * HOUR);
    assert_eq!(fixture.sign().await?.1, HOUR);
    assert_eq!(fixture.provider.asked(), 6, "what lasts is asked for once");
    Ok(())
}

#[tokio::test]
async fn those_who_wait_for_a_provider_that_fails_share_its_failure() {
    let fixture = Fixture::new();
    let answers = join_all((0..50).map(|_| fixture.sign())).await;
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(fixture.provider.asked(), 1);
}

#[tokio::test]
async fn no_secret_shows_in_debug_output() -> Outcome {
    let fixture = Fixture::new();
    fixture.provider.gives("first", Some(START + HOUR));
    let upload = UploadId::generate();
    let signer =
        fixture.store.part_signer(upload, "upload id", Lengths::Signed, Duration::from_mins(1)).await?;
    let part = Part { number: PartNumber::FIRST, offset: 0, size: 1 };
    let signature = signer.sign(part).url;
    let text = format!("{:?} {signer:?}", fixture.store);
    let signature = signature.split("X-Amz-Signature=").nth(1).unwrap_or_default();
    for secret in ["the-secret", "the-token", &signature[..64]] {
        assert!(!text.contains(secret), "{text}");
    }
    Ok(())
}
