//! Webhooks: who is told of what happens in a project, and how often it is tried.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use url::Url;

use super::access::{Caller, ProjectName};
use super::digest::Digest;
use super::name::RepositoryName;
use super::words::words;

/// Longest name of a policy, in characters.
const MAX_NAME: usize = 256;
/// Longest description, in bytes.
const MAX_DESCRIPTION: usize = 1_024;
/// Longest address, in bytes and as it is sent: beyond it servers refuse a request.
const MAX_ADDRESS: usize = 2_048;
/// Longest `Authorization` of deliveries, in bytes: an OIDC token has up to some thousand.
const MAX_AUTH_HEADER: usize = 4_096;
/// Who did something without signing in, as Harbor calls them.
const NOBODY: &str = "anonymous";

/// After the first failure; each later pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// Age at which an event that cannot be delivered is given up.
const PATIENCE: TimeDelta = TimeDelta::hours(24);

words! {
    /// What happened. The names are Harbor's.
    EventType {
        Push: "PUSH_ARTIFACT",
        Pull: "PULL_ARTIFACT",
        Delete: "DELETE_ARTIFACT",
        QuotaExceed: "QUOTA_EXCEED",
    }
}

words! {
    /// What a delivery's body looks like. The names are Harbor's.
    PayloadFormat {
        /// Harbor's own JSON.
        Default: "Default",
        /// `CloudEvents` 1.0, in structured mode.
        CloudEvents: "CloudEvents",
    }
}

/// Why a policy cannot be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidPolicy {
    #[error("name has 1 to {MAX_NAME} characters, none of them a control character")]
    Name,
    #[error("description has at most {MAX_DESCRIPTION} bytes")]
    Description,
    #[error("event_types names at least one event")]
    NoEvents,
    #[error(
        "address is a URL of http or https with at most {MAX_ADDRESS} bytes and without user and password; those go into \
         auth_header"
    )]
    Address,
    #[error("auth_header has at most {MAX_AUTH_HEADER} bytes, all of them printable ASCII")]
    AuthHeader,
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookAddress(Url);

impl WebhookAddress {
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for WebhookAddress {
    type Err = InvalidPolicy;

    fn from_str(text: &str) -> Result<Self, InvalidPolicy> {
        let url = Url::parse(text).map_err(|_| InvalidPolicy::Address)?;
        let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
        let is_open = url.username().is_empty() && url.password().is_none();
        // As it is stored and read again: what is encoded is longer than what was typed.
        if is_web && is_open && url.as_str().len() <= MAX_ADDRESS {
            Ok(Self(url))
        } else {
            Err(InvalidPolicy::Address)
        }
    }
}

/// The value of `Authorization` that deliveries carry. A secret: its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthHeader(String);

impl AuthHeader {
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// No control character, so that nothing of it becomes another header.
impl FromStr for AuthHeader {
    type Err = InvalidPolicy;

    fn from_str(text: &str) -> Result<Self, InvalidPolicy> {
        let is_printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if is_printable && (1..=MAX_AUTH_HEADER).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPolicy::AuthHeader)
        }
    }
}

impl fmt::Debug for AuthHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthHeader(…)")
    }
}

/// Where and how events are delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookTarget {
    pub address: WebhookAddress,
    pub auth_header: Option<AuthHeader>,
    pub skip_cert_verify: bool,
    pub format: PayloadFormat,
}

/// What a project's managers say of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRules {
    pub name: String,
    pub description: String,
    pub is_enabled: bool,
    pub event_types: Vec<EventType>,
    pub target: WebhookTarget,
}

impl WebhookRules {
    /// # Errors
    ///
    /// Says which field cannot be so.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        let name = &self.name;
        if !(1..=MAX_NAME).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(InvalidPolicy::Name);
        }
        if self.description.len() > MAX_DESCRIPTION || self.description.contains('\0') {
            return Err(InvalidPolicy::Description);
        }
        if self.event_types.is_empty() { Err(InvalidPolicy::NoEvents) } else { Ok(()) }
    }
}

/// A policy: a project's events of these types go to this target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookPolicy {
    pub id: i64,
    pub project_id: i64,
    pub rules: WebhookRules,
    /// Who made it; empty where nobody had to sign in.
    pub creator: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// When an event of a type was last delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookTrigger {
    pub policy_name: String,
    pub event_type: EventType,
    pub is_enabled: bool,
    pub created_at: DateTime<Utc>,
    pub last_delivered_at: DateTime<Utc>,
}

/// Who does something that webhooks tell of, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occasion {
    pub operator: String,
    pub at: DateTime<Utc>,
}

impl Occasion {
    #[must_use]
    pub fn new(caller: &Caller, at: DateTime<Utc>) -> Self {
        Self { operator: caller.name().unwrap_or(NOBODY).to_owned(), at }
    }
}

/// A manifest that was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    pub repository: RepositoryName,
    pub digest: Digest,
    /// None where it was pulled by its digest.
    pub tag: Option<String>,
    pub occasion: Occasion,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventSubject {
    /// A manifest by its tag, or by its digest alone.
    Artifact {
        digest: Digest,
        tag: String,
    },
    Quota {
        details: String,
    },
}

/// An event on its way to one policy's target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookEvent {
    /// The same whenever it is delivered again.
    pub id: i64,
    pub event_type: EventType,
    pub subject: EventSubject,
    pub occasion: Occasion,
}

impl WebhookEvent {
    /// Whether it is too old to be tried again.
    #[must_use]
    pub fn is_given_up(&self, now: DateTime<Utc>) -> bool {
        now - self.occasion.at >= PATIENCE
    }
}

/// A repository's events for one policy, in the hands of one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookQueue {
    pub policy_id: i64,
    pub repository: RepositoryName,
    pub project_id: i64,
    pub project: ProjectName,
    pub is_public: bool,
    /// Failed deliveries of the first event.
    pub attempts: u32,
    pub target: WebhookTarget,
}

/// How long to wait after so many failures. `spread` is random, from 0 to 1: what fails together is not tried again
/// together.
#[must_use]
pub fn retry_pause(failures: u32, spread: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let longest = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    longest.mul_f64(1.0 - spread.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_a_second_to_an_hour() {
        assert_eq!(retry_pause(1, 0.0), Duration::from_secs(1));
        assert_eq!(retry_pause(2, 0.0), Duration::from_secs(2));
        assert_eq!(retry_pause(2, 1.0), Duration::from_secs(1));
        assert_eq!(retry_pause(u32::MAX, 0.0), Duration::from_hours(1));
    }

    #[test]
    fn an_address_is_of_the_web_and_has_no_password() {
        for good in ["http://ci.example/hook", "https://ci.example:8443/?x=1", "http://[2001:db8::1]/"] {
            assert!(good.parse::<WebhookAddress>().is_ok(), "{good}");
        }
        for bad in
            ["", "ci.example", "ftp://ci.example", "file:///etc/passwd", "http://u:p@ci.example", "http://"]
        {
            assert_eq!(bad.parse::<WebhookAddress>(), Err(InvalidPolicy::Address), "{bad}");
        }
    }

    #[test]
    fn an_address_that_is_taken_is_taken_again_as_it_is_stored() {
        let (short, long) = ("ü".repeat(300), "ü".repeat(400));
        let address: WebhookAddress = format!("http://ci.example/{short}").parse().expect("an address");
        assert_eq!(address.url().as_str().parse::<WebhookAddress>(), Ok(address.clone()));
        let refused = format!("http://ci.example/{long}").parse::<WebhookAddress>();
        assert_eq!(refused, Err(InvalidPolicy::Address), "encoded it has more than {MAX_ADDRESS} bytes");
    }

    #[test]
    fn an_auth_header_is_one_line_and_stays_out_of_logs() {
        let header: AuthHeader = "Bearer s3cret".parse().expect("a header");
        assert_eq!(format!("{header:?}"), "AuthHeader(…)");
        for bad in ["", "a\r\nX-Evil: 1", "a\nb", "ü", "\u{7f}"] {
            assert_eq!(bad.parse::<AuthHeader>(), Err(InvalidPolicy::AuthHeader), "{bad:?}");
        }
    }
}
