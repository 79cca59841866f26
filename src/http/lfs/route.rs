//! Taking a path of Git LFS apart, from its end: what stands before `/info/lfs/` is the repository's name, with or without
//! `.git`.

use axum::http::Method;
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::PREFIX;
use crate::domain::digest::Digest;
use crate::domain::hub::HubName;
use crate::domain::name::RepositoryName;
use crate::domain::upload::UploadId;
use crate::http::endpoint::Endpoint;
use crate::http::error::HttpError;
use crate::service::ServiceError;

/// What a repository's URL ends with, where it is that of a Git host.
const GIT_SUFFIX: &str = ".git";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `…/objects/batch`
    Batch,
    /// `…/objects/{oid}`
    Object(Digest),
    /// `…/uploads/{uuid}`
    Upload(UploadId),
    /// `…/uploads/{uuid}/verify`
    Verify(UploadId),
    /// `…/uploads/{uuid}/complete`
    Complete(UploadId),
    /// `…/locks`
    Locks,
    /// `…/locks/verify`
    VerifyLocks,
    /// `…/locks/{lock}/unlock`
    Unlock(Uuid),
}

impl Route {
    /// The repository, that of the Hub where it is one, and what of it is asked for.
    pub fn parse(path: &str, hub: Option<HubName>) -> Result<(RepositoryName, Self), HttpError> {
        // Decoded as a whole: an escaped slash or dot gains nothing, names and digests are checked below.
        let path = percent_decode_str(path).decode_utf8().map_err(|_| HttpError::not_found())?;
        let (front, rest) = path.rsplit_once(PREFIX).ok_or_else(HttpError::not_found)?;
        let name = front.strip_prefix('/').ok_or_else(HttpError::not_found)?;
        let name = match hub {
            Some(hub) => hub.repository().clone(),
            None => name.strip_suffix(GIT_SUFFIX).unwrap_or(name).parse()?,
        };
        let parts: Vec<&str> = rest.split('/').collect();
        let route = match *parts {
            ["objects", "batch"] => Self::Batch,
            ["objects", oid] => Self::Object(parse_oid(oid).ok_or(ServiceError::BlobUnknown)?),
            ["uploads", id] => Self::Upload(upload(id)?),
            ["uploads", id, "verify"] => Self::Verify(upload(id)?),
            ["uploads", id, "complete"] => Self::Complete(upload(id)?),
            ["locks"] => Self::Locks,
            ["locks", "verify"] => Self::VerifyLocks,
            ["locks", id, "unlock"] => {
                Self::Unlock(Uuid::try_parse(id).map_err(|_| ServiceError::Unknown("lock"))?)
            }
            _ => return Err(HttpError::not_found()),
        };
        Ok((name, route))
    }

    /// What a method does here; the error names those that do something.
    pub fn endpoint(&self, method: &Method) -> Result<Endpoint, &'static str> {
        let (is_get, is_post) = (matches!(*method, Method::GET | Method::HEAD), *method == Method::POST);
        match self {
            Self::Batch if is_post => Ok(Endpoint::LfsBatch),
            Self::Object(_) if is_get => Ok(Endpoint::LfsReadObject),
            Self::Upload(_) if is_get => Ok(Endpoint::LfsDescribeUpload),
            Self::Verify(_) if is_post => Ok(Endpoint::LfsVerify),
            Self::Complete(_) if is_post => Ok(Endpoint::LfsComplete),
            Self::Locks if is_get => Ok(Endpoint::LfsListLocks),
            Self::Locks if is_post => Ok(Endpoint::LfsCreateLock),
            Self::VerifyLocks if is_post => Ok(Endpoint::LfsVerifyLocks),
            Self::Unlock(_) if is_post => Ok(Endpoint::LfsUnlock),
            Self::Object(_) | Self::Upload(_) => Err("GET, HEAD"),
            Self::Locks => Err("GET, HEAD, POST"),
            Self::Batch | Self::Verify(_) | Self::Complete(_) | Self::VerifyLocks | Self::Unlock(_) => {
                Err("POST")
            }
        }
    }
}

/// An object's id: the SHA-256 of its bytes in hexadecimal digits, in lower case.
pub(super) fn parse_oid(oid: &str) -> Option<Digest> {
    let is_hex = oid.len() == 64 && oid.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex { format!("sha256:{oid}").parse().ok() } else { None }
}

/// What is no UUID is no upload of ours.
fn upload(id: &str) -> Result<UploadId, ServiceError> {
    id.parse().map_err(|_| ServiceError::UploadUnknown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parsing_any_path_never_panics(path in ".{0,80}") {
            let _ = Route::parse(&path, None);
            let _ = Route::parse(&format!("/a/info/lfs/{path}"), None);
        }
    }

    #[test]
    fn names_of_several_segments_work_with_git_and_without() {
        let name: RepositoryName = "team/app/model".parse().unwrap_or_else(|error| panic!("{error}"));
        let (oid, id) = (Digest::EMPTY.hex(), UploadId::generate());
        for front in ["/team/app/model", "/team/app/model.git"] {
            let parse = |rest: &str| Route::parse(&format!("{front}/info/lfs/{rest}"), None).ok();
            assert_eq!(parse("objects/batch"), Some((name.clone(), Route::Batch)));
            assert_eq!(parse(&format!("objects/{oid}")), Some((name.clone(), Route::Object(Digest::EMPTY))));
            assert_eq!(parse(&format!("uploads/{id}")), Some((name.clone(), Route::Upload(id))));
            assert_eq!(parse(&format!("uploads/{id}/verify")), Some((name.clone(), Route::Verify(id))));
            assert_eq!(parse("locks"), Some((name.clone(), Route::Locks)));
            assert_eq!(parse("locks/verify"), Some((name.clone(), Route::VerifyLocks)));
        }
    }

    #[test]
    fn paths_that_climb_lead_nowhere() {
        for path in [
            "/../info/lfs/objects/batch",
            "/a/%2e%2e/b/info/lfs/objects/batch",
            "//info/lfs/objects/batch",
            "/info/lfs/objects/batch",
            "/a/info/lfs/objects/..%2f..%2fetc",
            "/a/info/lfs/locks/../unlock",
            "/a/info/lfs/",
            "/A/info/lfs/locks",
        ] {
            assert!(Route::parse(path, None).is_err(), "{path}");
        }
    }
}
