//! The only place that knows paths. Every key is made from a UUID or a digest, never from client text.
//!
//! ```text
//! temp/<upload uuid>/…                     one prefix, so that a lifecycle rule can back the cleaner up
//! blobs/<algorithm>/<first two>/<next two>/<hex>
//! ```

use uuid::Uuid;

use crate::domain::blob::SealedObject;
use crate::domain::digest::Digest;
use crate::domain::upload::UploadId;

/// Everything temporary.
pub const TEMP_PREFIX: &str = "temp/";
/// Everything published.
pub const BLOB_PREFIX: &str = "blobs/";

/// A key below the configured prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The prefix of everything that belongs to one upload, with the final slash.
#[must_use]
pub fn temp_prefix(upload: UploadId) -> String {
    format!("{TEMP_PREFIX}{upload}/")
}

/// Where an upload's bytes come together: the one key its presigned URLs write to.
#[must_use]
pub fn temp_data(upload: UploadId) -> Key {
    Key(format!("{TEMP_PREFIX}{upload}/data"))
}

/// The data where no URL writes to it. A copy has a name of its own each time it is made: a finalizer that lost
/// its lease must not find the bytes of the one that took over under the name it has proven.
#[must_use]
pub fn temp_sealed(upload: UploadId, copy: Option<Uuid>) -> Key {
    match copy {
        Some(copy) => Key(format!("{TEMP_PREFIX}{upload}/sealed-{}", copy.as_simple())),
        None => Key(format!("{TEMP_PREFIX}{upload}/sealed")),
    }
}

/// The end of a proxied upload that is too short for a part of its own.
#[must_use]
pub fn temp_tail(upload: UploadId, tail: Uuid) -> Key {
    Key(format!("{TEMP_PREFIX}{upload}/tail-{}", tail.as_simple()))
}

/// An upload's proven object, if the path is one of that upload's.
#[must_use]
pub fn sealed(object: &SealedObject) -> Option<Key> {
    object.path.starts_with(&temp_prefix(object.upload)).then(|| Key(object.path.clone()))
}

/// A published blob.
#[must_use]
pub fn blob(digest: &Digest) -> Key {
    let hex = digest.hex();
    Key(format!("{BLOB_PREFIX}{}/{}/{}/{hex}", digest.algorithm(), &hex[..2], &hex[2..4]))
}

/// An object of the start-up probe or of doctor. `run` is an upload that no session knows, so that the
/// cleaner sweeps what an interrupted probe leaves.
#[must_use]
pub fn probe(run: UploadId, name: &'static str) -> Key {
    Key(format!("{TEMP_PREFIX}{run}/probe-{name}"))
}

/// The upload that a key below [`TEMP_PREFIX`] belongs to.
#[must_use]
pub fn temp_owner(key: &str) -> Option<UploadId> {
    let rest = key.strip_prefix(TEMP_PREFIX)?;
    rest.split('/').next()?.parse().ok()
}

/// The digest that a key below [`BLOB_PREFIX`] stands for.
#[must_use]
pub fn blob_digest(key: &str) -> Option<Digest> {
    let (algorithm, rest) = key.strip_prefix(BLOB_PREFIX)?.split_once('/')?;
    let digest = format!("{algorithm}:{}", rest.rsplit('/').next()?).parse().ok()?;
    (blob(&digest).as_str() == key).then_some(digest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::digest::Algorithm;
    use crate::domain::hash::Hasher;

    proptest! {
        #[test]
        fn a_key_leads_back_to_what_it_was_made_of(bytes: Vec<u8>, uuid: u128) {
            let upload = UploadId::from_uuid(Uuid::from_u128(uuid));
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                let digest = Hasher::digest(algorithm, &bytes);
                prop_assert_eq!(blob_digest(blob(&digest).as_str()), Some(digest));
            }
            prop_assert_eq!(temp_owner(temp_data(upload).as_str()), Some(upload));
            prop_assert!(temp_tail(upload, Uuid::from_u128(uuid)).as_str().starts_with(&temp_prefix(upload)));
        }

        #[test]
        fn reading_any_key_never_panics(key in ".{0,80}") {
            let _ = temp_owner(&key);
            let _ = blob_digest(&key);
        }
    }

    #[test]
    fn a_blob_path_is_fanned_out_by_its_first_bytes() {
        let hex = Digest::EMPTY.hex();
        assert_eq!(blob(&Digest::EMPTY).as_str(), format!("blobs/sha256/e3/b0/{hex}"));
        assert_eq!(blob_digest(&format!("blobs/sha256/aa/bb/{hex}")), None);
        let hex = Digest::EMPTY_SHA512.hex();
        assert_eq!(blob(&Digest::EMPTY_SHA512).as_str(), format!("blobs/sha512/cf/83/{hex}"));
        assert_eq!(blob_digest(&format!("blobs/sha256/cf/83/{hex}")), None);
    }
}
