//! The S3 stores beside those of every run. `scripts/test --stores` installs and starts them; a run without them
//! has no trial for them. What each can do, measured, is in `docs/stores.md`.

use super::servers::Keys;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OtherStore {
    Minio,
    VersityGw,
    Rclone,
    S3Proxy,
    JuiceFs,
    Garage,
}

/// A reason not to run a trial on a store: what the store does not do.
pub type Inability = &'static str;

/// One pair for all of them, as `scripts/testing/stores.py` has it.
pub const KEYS: Keys = Keys {
    access_key: "GK0123456789ab0123456789ab",
    secret_key: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
};

impl OtherStore {
    pub const ALL: [Self; 6] =
        [Self::Minio, Self::VersityGw, Self::Rclone, Self::S3Proxy, Self::JuiceFs, Self::Garage];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Minio => "minio",
            Self::VersityGw => "versitygw",
            Self::Rclone => "rclone",
            Self::S3Proxy => "s3proxy",
            Self::JuiceFs => "juicefs",
            Self::Garage => "garage",
        }
    }

    /// Where its address is told.
    pub fn variable(self) -> String {
        format!("OVERSIDE_TEST_{}", self.name().to_uppercase())
    }

    pub const fn stack_name(self) -> &'static str {
        match self {
            Self::Minio => "sqlite+minio",
            Self::VersityGw => "sqlite+versitygw",
            Self::Rclone => "sqlite+rclone",
            Self::S3Proxy => "sqlite+s3proxy",
            Self::JuiceFs => "sqlite+juicefs",
            Self::Garage => "sqlite+garage",
        }
    }

    /// Whether it has multipart uploads that our SDK can read.
    pub const fn has_multipart(self) -> bool {
        // It answers with an XML root that S3 does not have.
        !matches!(self, Self::Rclone)
    }

    /// Why this case of the storage suite can not hold here, if so.
    pub fn cannot(self, case: &str) -> Option<Inability> {
        INABILITIES.iter().find(|(store, name, _)| *store == self && *name == case).map(|(.., why)| *why)
    }
}

const INABILITIES: [(OtherStore, &str, Inability); 0] = [];
