//! Which servers and clients there are to test with: `scripts/test-servers start` starts them and prints what is
//! read here.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use url::Url;

use super::other_store::OtherStore;

/// The bucket that `scripts/test-servers` makes on every store.
pub const BUCKET: &str = "overside";
/// One pair of keys for the stores of every run; LocalStack takes no other pair for presigned URLs.
pub const KEYS: Keys = Keys { access_key: "test", secret_key: "test" };
pub const REGION: &str = "us-east-1";
/// Who may use the registry that asks for a password, as `scripts/test-servers` sets it up.
pub const REGISTRY_USER: &str = "overside";
pub const REGISTRY_PASSWORD: &str = "secret";

const FULL: &str = "OVERSIDE_TEST_FULL";

/// Left out where npm is not there: Debian's brings hundreds of packages along.
const NEEDS_NPM: &str = "tus";

/// The clients that `scripts/testing/clients.py` puts there.
pub const CLIENTS: [&str; 18] = [
    "crane",
    "regctl",
    "oras",
    "helm",
    "containerd",
    "containerd_2_2",
    "containerd_2_1",
    "ollama",
    "ctr",
    "docker",
    "podman",
    "git_lfs",
    "git_lfs_debian",
    "hf",
    "hf_1",
    "hf_0",
    "mlflow",
    NEEDS_NPM,
];

/// Whom a store takes us for.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    pub access_key: &'static str,
    pub secret_key: &'static str,
}

/// The addresses of the servers that are there, and where the clients are.
#[derive(Debug, Clone)]
pub struct Servers {
    /// Whether all that there is to show shall be shown, however long it takes: see `scripts/test --full`.
    pub is_full: bool,
    pub postgres: Option<Url>,
    pub seaweedfs: Option<Url>,
    pub localstack: Option<Url>,
    /// None of them is missed where it is not there: they are a step of their own.
    pub other_stores: BTreeMap<OtherStore, Url>,
    /// A registry that is not Overside and knows no presigned URLs: Debian's docker-registry, open to all.
    pub registry: Option<Url>,
    /// Another, for [`REGISTRY_USER`] only.
    pub registry_with_password: Option<Url>,
    pub skopeo: Option<PathBuf>,
    /// The interpreter of an environment with the oras and dxf packages.
    pub python: Option<PathBuf>,
    /// Of [`CLIENTS`].
    pub clients: BTreeMap<&'static str, PathBuf>,
    /// A browser without a window.
    pub chromium: Option<PathBuf>,
    /// Its example, bundled: only where npm was there to fetch Uppy with.
    pub uppy: Option<PathBuf>,
    /// The built `dist/index.js` of a copy of `clients/js`: only where npm was there.
    pub javascript: Option<PathBuf>,
    /// The library of libfaketime that gives a process another clock.
    pub faketime: Option<PathBuf>,
}

impl Servers {
    pub fn from_environment() -> Self {
        Self {
            is_full: env::var(FULL).is_ok_and(|value| !value.is_empty()),
            postgres: address("OVERSIDE_TEST_POSTGRES"),
            seaweedfs: address("OVERSIDE_TEST_SEAWEEDFS"),
            localstack: address("OVERSIDE_TEST_LOCALSTACK"),
            other_stores: OtherStore::ALL
                .into_iter()
                .filter_map(|store| Some((store, address(&store.variable())?)))
                .collect(),
            registry: address("OVERSIDE_TEST_REGISTRY"),
            registry_with_password: address("OVERSIDE_TEST_REGISTRY_WITH_PASSWORD"),
            skopeo: program("OVERSIDE_TEST_SKOPEO"),
            python: program("OVERSIDE_TEST_CLIENTS"),
            clients: CLIENTS
                .into_iter()
                .filter_map(|name| {
                    Some((name, program(&format!("OVERSIDE_TEST_{}", name.to_ascii_uppercase()))?))
                })
                .collect(),
            chromium: program("OVERSIDE_TEST_CHROMIUM"),
            uppy: program("OVERSIDE_TEST_UPPY"),
            javascript: program("OVERSIDE_TEST_JAVASCRIPT"),
            faketime: program("OVERSIDE_TEST_FAKETIME"),
        }
    }

    /// Names of what is not there.
    pub fn missing(&self) -> Vec<&'static str> {
        let is_there = [
            ("PostgreSQL", self.postgres.is_some()),
            ("SeaweedFS", self.seaweedfs.is_some()),
            ("LocalStack", self.localstack.is_some() || !self.is_full),
            ("docker-registry", self.registry.is_some() && self.registry_with_password.is_some()),
            ("skopeo", self.skopeo.is_some()),
            ("the Python clients", self.python.is_some()),
            ("Chromium", self.chromium.is_some()),
            ("libfaketime", self.faketime.is_some()),
        ];
        let clients = CLIENTS
            .into_iter()
            .filter(|name| *name != NEEDS_NPM)
            .map(|name| (name, self.clients.contains_key(name)));
        let all = is_there.into_iter().chain(clients);
        all.filter_map(|(name, is_there)| (!is_there).then_some(name)).collect()
    }
}

fn program(variable: &str) -> Option<PathBuf> {
    let path = env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)?;
    assert!(path.is_file(), "{variable}={} is not there", path.display());
    Some(path)
}

/// A variable that holds nonsense is a mistake to report, not a server to leave out.
fn address(variable: &str) -> Option<Url> {
    let text = env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}
