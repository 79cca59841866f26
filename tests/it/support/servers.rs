//! Which servers there are to test against: `scripts/test-servers start` starts them and prints what is read here.

use std::env;

use url::Url;

/// The bucket that `scripts/test-servers` makes on every store.
pub const BUCKET: &str = "overside";
/// One pair of keys for every store; LocalStack takes no other pair for presigned URLs.
pub const ACCESS_KEY: &str = "test";
pub const SECRET_KEY: &str = "test";
pub const REGION: &str = "us-east-1";

/// The addresses of the servers that are there.
#[derive(Debug, Clone)]
pub struct Servers {
    pub postgres: Option<Url>,
    pub seaweedfs: Option<Url>,
    pub localstack: Option<Url>,
}

impl Servers {
    pub fn from_environment() -> Self {
        Self {
            postgres: address("OVERSIDE_TEST_POSTGRES"),
            seaweedfs: address("OVERSIDE_TEST_SEAWEEDFS"),
            localstack: address("OVERSIDE_TEST_LOCALSTACK"),
        }
    }

    /// Names of the servers that are not there.
    pub fn missing(&self) -> Vec<&'static str> {
        [("PostgreSQL", &self.postgres), ("SeaweedFS", &self.seaweedfs), ("LocalStack", &self.localstack)]
            .into_iter()
            .filter_map(|(name, address)| address.is_none().then_some(name))
            .collect()
    }
}

/// A variable that holds nonsense is a mistake to report, not a server to leave out.
fn address(variable: &str) -> Option<Url> {
    let text = env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}
