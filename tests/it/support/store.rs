//! A store of its own for every trial, and a look into it that does not go through the code under test.

use std::path::{Path, PathBuf};

use aws_sdk_s3::Client;
use overside::domain::digest::Digest;
use overside::domain::hash::Hasher;
use overside::storage::key;
use tokio::io::AsyncReadExt;
use url::Url;
use uuid::Uuid;

use super::bucket;
use super::other_store::{self, OtherStore};
use super::servers::{self, BUCKET, Keys};

/// Block that objects are hashed in, in bytes: a few per millisecond of hashing.
const READ_BLOCK: usize = 1 << 20;

#[derive(Debug)]
pub enum Store {
    S3 {
        endpoint: Url,
        client: Client,
        /// Below this prefix everything is this trial's; without a slash at the end.
        prefix: String,
        /// None of the stores of every run.
        other: Option<OtherStore>,
    },
    Filesystem {
        root: PathBuf,
    },
}

impl Store {
    /// A prefix of its own in the bucket of one of the stores of every run.
    pub fn s3(endpoint: &Url) -> Self {
        Self::bucket(endpoint, None)
    }

    /// The same on a store that only some runs have.
    pub fn other(store: OtherStore, endpoint: &Url) -> Self {
        Self::bucket(endpoint, Some(store))
    }

    fn bucket(endpoint: &Url, other: Option<OtherStore>) -> Self {
        let prefix = format!("trial-{}", Uuid::now_v7().as_simple());
        let client = bucket::client(endpoint, keys(other));
        Self::S3 { endpoint: endpoint.clone(), client, prefix, other }
    }

    /// Whom the store takes us for.
    pub fn keys(&self) -> Keys {
        match self {
            Self::S3 { other, .. } => keys(*other),
            Self::Filesystem { .. } => servers::KEYS,
        }
    }

    pub fn filesystem(folder: &Path) -> Self {
        Self::Filesystem { root: folder.join("store") }
    }

    /// What `--storage` takes.
    pub fn url(&self) -> String {
        match self {
            Self::S3 { prefix, .. } => format!("s3://{BUCKET}/{prefix}"),
            Self::Filesystem { root } => format!("file://{}", root.display()),
        }
    }

    /// Everything temporary that is in the store now: each line one object, file, folder or multipart upload.
    pub async fn leftovers(&self) -> Vec<String> {
        match self {
            Self::S3 { client, prefix, other, .. } => {
                let temporary = format!("{prefix}/{}", key::TEMP_PREFIX);
                let mut found: Vec<String> =
                    bucket::objects(client, &temporary).await.into_iter().map(|(key, _)| key).collect();
                // Also those at a final key: a copy to there is temporary until it is completed.
                for (key, id) in multipart_uploads(client, &format!("{prefix}/"), *other).await {
                    found.push(format!("{key} (multipart upload {id})"));
                }
                found
            }
            Self::Filesystem { root } => walk(&root.join(key::TEMP_PREFIX)),
        }
    }

    /// The published objects' keys, below the prefix, with their sizes in bytes.
    pub async fn objects(&self) -> Vec<(String, u64)> {
        match self {
            Self::S3 { client, prefix, .. } => {
                let published = format!("{prefix}/{}", key::BLOB_PREFIX);
                let listed = bucket::objects(client, &published).await;
                listed.into_iter().map(|(key, size)| (key[prefix.len() + 1..].to_owned(), size)).collect()
            }
            Self::Filesystem { root } => walk(&root.join(key::BLOB_PREFIX))
                .into_iter()
                .filter_map(|path| {
                    let file = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
                    let key = Path::new(&path).strip_prefix(root).ok()?.display().to_string();
                    Some((key, file.len()))
                })
                .collect(),
        }
    }

    /// What the published bytes of `digest` really hash to by its algorithm, read straight from the store in constant memory.
    pub async fn blob_hash(&self, digest: &Digest) -> Option<Digest> {
        let mut reader = self.open(digest).await?;
        let (mut hasher, mut block) = (Hasher::new(digest.algorithm()), vec![0; READ_BLOCK]);
        loop {
            match reader.read(&mut block).await.expect("the store sends the whole object") {
                0 => return Some(hasher.finish()),
                length => hasher.update(&block[..length]),
            }
        }
    }

    /// The published bytes of `digest`, read straight from the store.
    pub async fn blob_bytes(&self, digest: &Digest) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(digest).await?.read_to_end(&mut bytes).await.expect("the store sends the whole object");
        Some(bytes)
    }

    /// Writes an object below the prefix, past the service.
    pub async fn write(&self, key: &str, bytes: &[u8]) {
        match self {
            Self::S3 { client, prefix, .. } => {
                let put = client.put_object().bucket(BUCKET).key(format!("{prefix}/{key}"));
                put.body(bytes.to_vec().into()).send().await.expect("an object");
            }
            Self::Filesystem { root } => {
                let path = root.join(key);
                std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                std::fs::write(path, bytes).expect("a file");
            }
        }
    }

    /// Removes a published blob's object, past the service.
    pub async fn lose(&self, digest: &Digest) {
        let key = overside::storage::key::blob(digest);
        match self {
            Self::S3 { client, prefix, .. } => {
                let delete = client.delete_object().bucket(BUCKET).key(format!("{prefix}/{}", key.as_str()));
                delete.send().await.expect("it is removed");
            }
            Self::Filesystem { root } => std::fs::remove_file(root.join(key.as_str())).expect("a file"),
        }
    }

    /// Removes what would otherwise fill the disk of a server that outlives the trial.
    pub async fn remove(&self) {
        if let Self::S3 { client, prefix, other, .. } = self {
            let prefix = format!("{prefix}/");
            let multipart_uploads = multipart_uploads(client, &prefix, *other).await;
            bucket::empty(client, &prefix, multipart_uploads).await;
        }
    }

    async fn open(&self, digest: &Digest) -> Option<Box<dyn tokio::io::AsyncRead + Send + Unpin>> {
        let key = key::blob(digest);
        match self {
            Self::S3 { client, prefix, .. } => {
                let body = bucket::get(client, &format!("{prefix}/{}", key.as_str())).await?;
                Some(Box::new(body.into_async_read()))
            }
            Self::Filesystem { root } => {
                let file = tokio::fs::File::open(root.join(key.as_str())).await.ok()?;
                Some(Box::new(file))
            }
        }
    }
}

async fn multipart_uploads(
    client: &Client,
    prefix: &str,
    other: Option<OtherStore>,
) -> Vec<(String, String)> {
    match other {
        None => bucket::multipart_uploads(client, prefix).await,
        Some(store) if store.has_multipart() => bucket::multipart_uploads_among_all(client, prefix).await,
        Some(_) => Vec::new(),
    }
}

const fn keys(other: Option<OtherStore>) -> Keys {
    if other.is_some() { other_store::KEYS } else { servers::KEYS }
}

/// Everything below a folder, folders too.
fn walk(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        found.push(path.display().to_string());
        if path.is_dir() {
            found.extend(walk(&path));
        }
    }
    found.sort();
    found
}
