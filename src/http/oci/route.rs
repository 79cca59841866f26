//! Taking a path below `/v2/` apart, from its end: what is left of the known suffix is the repository's name.

use axum::http::Method;
use percent_encoding::percent_decode_str;

use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::reference::{InvalidReference, Reference};
use crate::domain::upload::UploadId;
use crate::http::endpoint::Endpoint;
use crate::http::error::HttpError;
use crate::service::ServiceError;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v2/`
    Base,
    /// `/v2/{name}/blobs/uploads/`
    Uploads(RepositoryName),
    /// `/v2/{name}/blobs/uploads/{uuid}`
    Upload(RepositoryName, UploadId),
    /// `/v2/{name}/blobs/`
    Blobs(RepositoryName),
    /// `/v2/{name}/blobs/{digest}`
    Blob(RepositoryName, Digest),
    /// `/v2/{name}/manifests/{reference}`; what an impossible reference means depends on the method.
    Manifest(RepositoryName, Result<Reference, InvalidReference>),
    /// `/v2/{name}/tags/list`
    Tags(RepositoryName),
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/{name}/referrers/{digest}`
    Referrers(RepositoryName, Digest),
}

impl Route {
    pub fn parse(path: &str) -> Result<Self, HttpError> {
        let path = path.strip_prefix("/v2").ok_or_else(HttpError::not_found)?;
        // Decoded as a whole: an escaped slash or dot gains nothing, names and digests are checked below.
        let path = percent_decode_str(path).decode_utf8().map_err(|_| HttpError::not_found())?;
        let path = path.strip_prefix('/').unwrap_or_default();
        if path.is_empty() {
            return Ok(Self::Base);
        }
        if path == "_catalog" {
            return Ok(Self::Catalog);
        }
        let (front, last) = path.rsplit_once('/').ok_or_else(HttpError::not_found)?;
        if let Some(name) = front.strip_suffix("/blobs/uploads") {
            if last.is_empty() {
                return Ok(Self::Uploads(name.parse()?));
            }
            let name = name.parse()?;
            // What is no UUID is no upload of ours.
            let id = last.parse().map_err(|_| ServiceError::UploadUnknown)?;
            return Ok(Self::Upload(name, id));
        }
        if let Some(name) = front.strip_suffix("/manifests") {
            return Ok(Self::Manifest(name.parse()?, last.parse()));
        }
        if let Some(name) = front.strip_suffix("/referrers") {
            return Ok(Self::Referrers(name.parse()?, last.parse()?));
        }
        if let Some(name) = front.strip_suffix("/tags").filter(|_| last == "list") {
            return Ok(Self::Tags(name.parse()?));
        }
        let name = front.strip_suffix("/blobs").ok_or_else(HttpError::not_found)?;
        // Some clients leave the final slash out.
        if last == "uploads" {
            Ok(Self::Uploads(name.parse()?))
        } else if last.is_empty() {
            Ok(Self::Blobs(name.parse()?))
        } else {
            Ok(Self::Blob(name.parse()?, last.parse()?))
        }
    }

    /// Whose path it is.
    pub const fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Blobs(name)
            | Self::Blob(name, _)
            | Self::Manifest(name, _)
            | Self::Tags(name)
            | Self::Referrers(name, _) => Some(name),
        }
    }

    /// What a method does here; the error names those that do something.
    pub fn endpoint(&self, method: &Method) -> Result<Endpoint, &'static str> {
        let is_get = matches!(*method, Method::GET | Method::HEAD);
        match self {
            Self::Base if is_get => Ok(Endpoint::Base),
            Self::Tags(_) if is_get => Ok(Endpoint::ListTags),
            Self::Blobs(_) if is_get => Ok(Endpoint::ListBlobs),
            Self::Catalog if is_get => Ok(Endpoint::Catalog),
            Self::Referrers(..) if is_get => Ok(Endpoint::ListReferrers),
            Self::Base | Self::Tags(_) | Self::Blobs(_) | Self::Catalog | Self::Referrers(..) => {
                Err("GET, HEAD")
            }
            Self::Uploads(_) => match *method {
                Method::POST => Ok(Endpoint::BeginUpload),
                _ => Err("POST"),
            },
            Self::Upload(..) => match *method {
                Method::GET | Method::HEAD => Ok(Endpoint::DescribeUpload),
                Method::PATCH => Ok(Endpoint::Append),
                Method::PUT => Ok(Endpoint::Finalize),
                Method::DELETE => Ok(Endpoint::Abort),
                _ => Err("GET, HEAD, PATCH, PUT, DELETE"),
            },
            Self::Blob(..) => match *method {
                Method::GET => Ok(Endpoint::ReadBlob),
                Method::HEAD => Ok(Endpoint::DescribeBlob),
                Method::DELETE => Ok(Endpoint::DeleteBlob),
                _ => Err("GET, HEAD, DELETE"),
            },
            Self::Manifest(..) => match *method {
                Method::GET => Ok(Endpoint::ReadManifest),
                Method::HEAD => Ok(Endpoint::DescribeManifest),
                Method::PUT => Ok(Endpoint::PushManifest),
                Method::DELETE => Ok(Endpoint::DeleteManifest),
                _ => Err("GET, HEAD, PUT, DELETE"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parsing_any_path_never_panics(path in ".{0,80}") {
            let _ = Route::parse(&path);
            let _ = Route::parse(&format!("/v2/{path}"));
        }
    }

    #[test]
    fn names_of_several_segments_work_everywhere() {
        let name: RepositoryName = "team/app/model".parse().unwrap_or_else(|e| panic!("{e}"));
        let parse = |path: &str| Route::parse(path).ok();
        assert_eq!(parse("/v2/"), Some(Route::Base));
        assert_eq!(parse("/v2"), Some(Route::Base));
        assert_eq!(parse("/v2/team/app/model/blobs/uploads/"), Some(Route::Uploads(name.clone())));
        assert_eq!(parse("/v2/team/app/model/blobs/uploads"), Some(Route::Uploads(name.clone())));
        let id = UploadId::generate();
        assert_eq!(
            parse(&format!("/v2/team/app/model/blobs/uploads/{id}")),
            Some(Route::Upload(name.clone(), id))
        );
        let digest = Digest::EMPTY;
        assert_eq!(
            parse(&format!("/v2/team/app/model/blobs/{digest}")),
            Some(Route::Blob(name.clone(), digest))
        );
        let escaped = digest.to_string().replace(':', "%3A");
        assert_eq!(
            parse(&format!("/v2/team/app/model/blobs/{escaped}")),
            Some(Route::Blob(name.clone(), digest))
        );
        let manifest = |reference| Some(Route::Manifest(name.clone(), Ok(reference)));
        assert_eq!(
            parse(&format!("/v2/team/app/model/manifests/{digest}")),
            manifest(Reference::Digest(digest))
        );
        assert_eq!(parse("/v2/team/app/model/manifests/v1"), "v1".parse().ok().and_then(manifest));
        assert_eq!(
            parse(&format!("/v2/team/app/model/referrers/{digest}")),
            Some(Route::Referrers(name.clone(), digest))
        );
        assert_eq!(parse("/v2/team/app/model/tags/list"), Some(Route::Tags(name)));
        assert_eq!(parse("/v2/_catalog"), Some(Route::Catalog));
    }

    #[test]
    fn a_repository_may_be_named_like_an_endpoint() {
        let name = |text: &str| text.parse::<RepositoryName>().unwrap_or_else(|error| panic!("{error}"));
        let parse = |path: &str| Route::parse(path).ok();
        assert_eq!(parse("/v2/manifests/tags/list"), Some(Route::Tags(name("manifests"))));
        assert_eq!(parse("/v2/tags/list/tags/list"), Some(Route::Tags(name("tags/list"))));
        assert_eq!(
            parse("/v2/a/blobs/manifests/list"),
            "list".parse().ok().map(|tag| Route::Manifest(name("a/blobs"), Ok(tag)))
        );
    }

    #[test]
    fn paths_that_climb_lead_nowhere() {
        for path in [
            "/v2/../blobs/uploads/",
            "/v2/a/%2e%2e/b/blobs/uploads/",
            "/v2/a%2f..%2fb/blobs/uploads/",
            "/v2//blobs/uploads/",
            "/v2/a/blobs/..",
            "/v2/a/blobs/sha256:..%2f..%2fetc",
            "/v2/a/manifests",
            "/v2/%ff/blobs/uploads/",
        ] {
            assert!(Route::parse(path).is_err(), "{path}");
        }
    }
}
