//! What an administrator changes while the service runs. One table says of each setting what it takes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::duration::{self, LONGEST, LONGEST_URL_LIFETIME, Written};

/// No limit, as administrators and clients of Harbor write it.
const UNLIMITED: i64 = -1;
/// Beyond it a limit is none: no replica has so many requests at once, and no user sends so many in a second.
const MOST: i64 = 1_000_000;
const SHORTEST: Duration = Duration::from_secs(1);
const DEFAULT_AUDIT_RETENTION: Duration = Duration::from_hours(90 * 24);
const REDIRECTS: &[&str] = &["auto", "off"];
/// A redirect costs its client one more connection: what passes the service in the time of that is not worth it.
const DEFAULT_REDIRECTS_ABOVE: i64 = 1 << 20;
const RESTRICTIONS: &[&str] = &["everyone", "adminonly"];

/// What a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A count; -1 for no limit.
    Limit,
    /// Bytes; -1 for no limit.
    Bytes,
    Lifetime {
        most: Duration,
    },
    OneOf(&'static [&'static str]),
}

/// A setting's value, of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    Number(i64),
    Lifetime(Duration),
    Word(&'static str),
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $setting:ident: $name:literal, $kind:expr, $default:expr;)+) => {
        /// A setting, by what it decides.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Setting {
            $($(#[doc = $doc])+ $setting,)+
        }

        impl Setting {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$setting),+];

            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$setting => $name,)+ }
            }

            #[must_use]
            pub const fn kind(self) -> Kind {
                match self { $(Self::$setting => $kind,)+ }
            }

            /// What it decides, in a sentence or two.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$setting => concat!($($doc),+),)+ }
            }

            /// Until somebody sets it; of a lifetime that is a flag as well, what the flag says by default.
            const fn default(self) -> Value {
                match self { $(Self::$setting => $default,)+ }
            }
        }
    };
}

settings! {
    /// Requests at once that send a blob's bytes through this service, on all replicas together.
    UploadConcurrent: "upload_concurrent", Kind::Limit, Value::Number(UNLIMITED);
    /// Downloads of blobs at once, on all replicas together.
    DownloadConcurrent: "download_concurrent", Kind::Limit, Value::Number(UNLIMITED);
    /// Requests of one user in a second, on all replicas together; of whoever did not sign in, of one address.
    RequestRate: "request_rate", Kind::Limit, Value::Number(UNLIMITED);
    /// Uploads that one user has open.
    OpenSessionsPerUser: "open_sessions_per_user", Kind::Limit, Value::Number(UNLIMITED);
    /// An upload that gives no sign of life for this long expires.
    UploadLifetime: "upload_lifetime", Kind::Lifetime { most: LONGEST }, Value::Lifetime(Duration::from_hours(24));
    /// How long a presigned URL lives.
    UrlLifetime: "url_lifetime", Kind::Lifetime { most: LONGEST_URL_LIFETIME }, Value::Lifetime(Duration::from_mins(15));
    /// Whether stock clients that are known to follow are sent to the bucket with what they upload.
    RedirectUploads: "redirect_uploads", Kind::OneOf(REDIRECTS), Value::Word("auto");
    /// Uploads of more bytes than this are redirected.
    RedirectUploadsAbove: "redirect_uploads_above", Kind::Bytes, Value::Number(DEFAULT_REDIRECTS_ABOVE);
    /// How long the audit log keeps an entry.
    AuditRetention: "audit_retention", Kind::Lifetime { most: LONGEST }, Value::Lifetime(DEFAULT_AUDIT_RETENTION);
    /// Who makes projects: everyone who signs in, or administrators only.
    ProjectCreationRestriction: "project_creation_restriction", Kind::OneOf(RESTRICTIONS), Value::Word("everyone");
    /// What the blobs of a new project may have together, in bytes.
    StoragePerProject: "storage_per_project", Kind::Bytes, Value::Number(UNLIMITED);
}

/// A name or a value that no setting has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSetting {
    #[error("there is no setting {name:?}; there are {}", names())]
    Unknown { name: String },
    #[error("{name} {reason}")]
    Value { name: &'static str, reason: String },
}

fn names() -> String {
    Setting::ALL.iter().map(|setting| setting.name()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Setting {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let found = Self::ALL.iter().find(|setting| setting.name() == text);
        found.copied().ok_or_else(|| InvalidSetting::Unknown { name: text.to_owned() })
    }
}

impl Setting {
    /// Reads a value as people write it: `100`, `-1`, `15m`, `adminonly`.
    ///
    /// # Errors
    ///
    /// [`InvalidSetting::Value`]: out of the setting's range, or none of its words.
    pub fn parse(self, text: &str) -> Result<Value, InvalidSetting> {
        let value = match self.kind() {
            Kind::Limit => {
                number(text, 1, MOST).ok_or_else(|| format!("is -1 for none, or from 1 to {MOST}"))
            }
            Kind::Bytes => {
                number(text, 0, i64::MAX).ok_or_else(|| "is -1 for none, or bytes in digits".to_owned())
            }
            Kind::Lifetime { most } => duration::parse(text, &(SHORTEST..=most)).map(Value::Lifetime),
            Kind::OneOf(words) => {
                let word = words.iter().find(|word| **word == text);
                word.map(|word| Value::Word(word)).ok_or_else(|| format!("is one of {}", words.join(", ")))
            }
        };
        value.map_err(|reason| InvalidSetting::Value { name: self.name(), reason })
    }
}

fn number(text: &str, least: i64, most: i64) -> Option<Value> {
    let number = text.parse().ok()?;
    (number == UNLIMITED || (least..=most).contains(&number)).then_some(Value::Number(number))
}

/// As it is stored, and read by [`Setting::parse`].
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Lifetime(lifetime) => Written(*lifetime).fmt(f),
            Self::Word(word) => f.write_str(word),
        }
    }
}

/// All settings as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings([Value; Setting::ALL.len()]);

impl Settings {
    /// What holds where nobody has set anything: what flags say, for those that there are flags of.
    #[must_use]
    pub fn new(upload_lifetime: Duration, url_lifetime: Duration, redirects_uploads: bool) -> Self {
        let mut settings = Self(std::array::from_fn(|index| Setting::ALL[index].default()));
        settings.set(Setting::UploadLifetime, Value::Lifetime(upload_lifetime));
        settings.set(Setting::UrlLifetime, Value::Lifetime(url_lifetime));
        let redirects = if redirects_uploads { REDIRECTS[0] } else { REDIRECTS[1] };
        settings.set(Setting::RedirectUploads, Value::Word(redirects));
        settings
    }

    /// `value` is of the setting's kind: it comes of [`Setting::parse`].
    pub const fn set(&mut self, setting: Setting, value: Value) {
        self.0[setting as usize] = value;
    }

    #[must_use]
    pub const fn get(&self, setting: Setting) -> Value {
        self.0[setting as usize]
    }

    /// A count or a number of bytes; none where there is no limit.
    #[must_use]
    pub fn limit(&self, setting: Setting) -> Option<u64> {
        match self.get(setting) {
            Value::Number(number) => u64::try_from(number).ok(),
            Value::Lifetime(_) | Value::Word(_) => None,
        }
    }

    #[must_use]
    pub const fn upload_lifetime(&self) -> Duration {
        self.lifetime(Setting::UploadLifetime)
    }

    #[must_use]
    pub const fn url_lifetime(&self) -> Duration {
        self.lifetime(Setting::UrlLifetime)
    }

    #[must_use]
    pub const fn audit_retention(&self) -> Duration {
        self.lifetime(Setting::AuditRetention)
    }

    /// Whether administrators alone make projects.
    #[must_use]
    pub fn only_administrators_create_projects(&self) -> bool {
        self.get(Setting::ProjectCreationRestriction) == Value::Word("adminonly")
    }

    /// The size in bytes beyond which uploads are redirected; none where no upload is.
    #[must_use]
    pub fn redirects_uploads_above(&self) -> Option<u64> {
        let is_on = self.get(Setting::RedirectUploads) == Value::Word(REDIRECTS[0]);
        self.limit(Setting::RedirectUploadsAbove).filter(|_| is_on)
    }

    const fn lifetime(&self, setting: Setting) -> Duration {
        match self.get(setting) {
            Value::Lifetime(lifetime) => lifetime,
            // None of the kind has another value.
            Value::Number(_) | Value::Word(_) => LONGEST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new(Duration::from_hours(1), Duration::from_mins(1), true)
    }

    #[test]
    fn every_setting_is_found_by_its_name_and_its_default_is_a_value_it_takes() {
        for (index, setting) in Setting::ALL.iter().enumerate() {
            assert_eq!(*setting as usize, index);
            assert_eq!(setting.name().parse(), Ok(*setting));
            let value = settings().get(*setting);
            assert_eq!(setting.parse(&value.to_string()), Ok(value), "{setting}");
            assert!(!setting.doc().is_empty());
        }
        for text in ["90d", "36h", "61m", "3601s", "1s 500ms"] {
            assert_eq!(
                Setting::UploadLifetime.parse(text).map(|value| value.to_string()),
                Ok(text.to_owned())
            );
        }
        assert!("upload-concurrent".parse::<Setting>().is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_a_sentence_that_names_the_setting() {
        for (name, values) in [
            ("upload_concurrent", ["0", "-2", "many", "1000001"].as_slice()),
            ("request_rate", &["", "1.5", "0"]),
            ("upload_lifetime", &["0s", "500ms", "15", "1001years", "-1"]),
            ("url_lifetime", &["8d", "0s"]),
            ("project_creation_restriction", &["nobody", "Everyone"]),
            ("storage_per_project", &["-2", "10GiB", "9223372036854775808"]),
        ] {
            let setting: Setting = name.parse().unwrap_or_else(|error| panic!("{error}"));
            for value in values {
                let refused = setting.parse(value).map_err(|error| error.to_string());
                assert!(refused.is_err_and(|sentence| sentence.starts_with(name)), "{name} {value}");
            }
        }
    }

    #[test]
    fn a_limit_of_minus_one_is_none() {
        let mut settings = settings();
        assert_eq!(settings.limit(Setting::RequestRate), None);
        settings.set(Setting::RequestRate, Value::Number(7));
        assert_eq!(settings.limit(Setting::RequestRate), Some(7));
        assert_eq!(settings.upload_lifetime(), Duration::from_hours(1));
    }
}
