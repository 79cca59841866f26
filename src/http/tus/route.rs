//! Taking a path apart: a repository, or an upload to it.

use axum::http::Method;
use percent_encoding::percent_decode_str;

use super::PREFIX;
use crate::domain::name::RepositoryName;
use crate::domain::upload::UploadId;
use crate::http::endpoint::Endpoint;
use crate::http::error::HttpError;
use crate::service::ServiceError;

/// What stands between a repository's name and an upload's UUID: no segment of a name begins so.
pub(super) const UPLOADS: &str = "/_uploads/";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Repository,
    Upload(UploadId),
}

impl Route {
    /// The repository, and what of it is asked for.
    pub fn parse(path: &str) -> Result<(RepositoryName, Self), HttpError> {
        let rest = path.strip_prefix(PREFIX).ok_or_else(HttpError::not_found)?;
        // Decoded as a whole: an escaped slash or dot gains nothing, names are checked below.
        let rest = percent_decode_str(rest).decode_utf8().map_err(|_| HttpError::not_found())?;
        match rest.split_once(UPLOADS) {
            Some((name, id)) => {
                let id = id.parse().map_err(|_| ServiceError::UploadUnknown)?;
                Ok((name.parse()?, Self::Upload(id)))
            }
            // Some clients end what they were told with a slash.
            None => Ok((rest.strip_suffix('/').unwrap_or(&rest).parse()?, Self::Repository)),
        }
    }

    /// What a method does here; the error names those that do something.
    pub fn endpoint(self, method: &Method) -> Result<Endpoint, &'static str> {
        match (self, method) {
            (_, &Method::OPTIONS) => Ok(Endpoint::TusDiscover),
            (Self::Repository, &Method::POST) => Ok(Endpoint::TusCreate),
            (Self::Repository, _) => Err("OPTIONS, POST"),
            (Self::Upload(_), &Method::HEAD) => Ok(Endpoint::TusDescribe),
            (Self::Upload(_), &Method::PATCH) => Ok(Endpoint::TusAppend),
            (Self::Upload(_), &Method::DELETE) => Ok(Endpoint::TusTerminate),
            (Self::Upload(_), _) => Err("OPTIONS, HEAD, PATCH, DELETE"),
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
            let _ = Route::parse(&format!("/tus/{path}"));
        }
    }

    #[test]
    fn a_repository_and_its_uploads_are_told_apart() {
        let parse = |path: &str| Route::parse(path).ok().map(|(name, route)| (name.to_string(), route));
        let id = UploadId::generate();
        assert_eq!(parse("/tus/team/app/"), Some(("team/app".to_owned(), Route::Repository)));
        assert_eq!(parse("/tus/team/uploads"), Some(("team/uploads".to_owned(), Route::Repository)));
        let upload = format!("/tus/team/a/b/_uploads/{id}");
        assert_eq!(parse(&upload), Some(("team/a/b".to_owned(), Route::Upload(id))));
    }

    #[test]
    fn paths_that_climb_lead_nowhere() {
        for path in [
            "",
            "/tus/",
            "/tus/../a",
            "/tus/a/%2e%2e/b",
            "/tus//a",
            "/tus/A",
            "/tus/a/_uploads/",
            "/tus/a/_uploads/../x",
        ] {
            assert!(Route::parse(path).is_err(), "{path}");
        }
    }
}
