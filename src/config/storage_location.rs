//! Where blobs are kept: `s3://BUCKET[/PREFIX]` or `file://PATH`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A parsed `--storage`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageLocation {
    File(PathBuf),
    /// The prefix is empty or ends in a slash.
    S3 {
        bucket: String,
        prefix: String,
    },
}

impl fmt::Display for StorageLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file://{}", path.display()),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl FromStr for StorageLocation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file://") {
            return if path.is_empty() {
                Err("file:// needs a path".to_owned())
            } else {
                Ok(Self::File(path.into()))
            };
        }
        let Some(rest) = text.strip_prefix("s3://") else {
            return Err("a store is s3://BUCKET[/PREFIX] or file://PATH".to_owned());
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        // Amazon S3 User Guide, "General purpose bucket naming rules".
        let bucket_character = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(bucket_character) {
            return Err(format!("{bucket:?} is no bucket name: 3 to 63 of a-z, 0-9, '-' and '.'"));
        }
        let prefix = prefix.trim_matches('/');
        // Characters that need no escaping anywhere, so that the key is the same in every request form.
        let prefix_character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        if !prefix.chars().all(prefix_character) || prefix.split('/').any(|part| part == ".." || part == ".")
        {
            return Err(format!(
                "{prefix:?} is no prefix for keys here: letters, digits, '-', '_', '.' and '/'"
            ));
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix })
    }
}
