//! Taking a path apart: what is asked for, in which project, and where in it.

use axum::http::{Method, Uri};
use percent_encoding::percent_decode_str;

use super::PREFIX;
use crate::domain::name::RepositoryName;
use crate::domain::path::{Directory, FilePath};
use crate::http::endpoint::Endpoint;
use crate::http::error::HttpError;
use crate::http::extract::Parameters;
use crate::http::method_not_allowed;

/// The repository of a project that has its artifacts.
const REPOSITORY: &str = "mlflow-artifacts";

pub(super) const ARTIFACTS: &str = "/artifacts/";
pub(super) const PRESIGNED: &str = "/presigned/";
const CREATE: &str = "/mpu/create/";
const COMPLETE: &str = "/mpu/complete/";
const ABORT: &str = "/mpu/abort/";

/// What a path below [`PREFIX`] is about, with the rest of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Area {
    /// The directory is in the query.
    List,
    Artifacts(String),
    Presigned(String),
    Create(String),
    Complete(String),
    Abort(String),
}

/// A project's repository, and a path in it: of a file or of a directory, as whoever asks means it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub repository: RepositoryName,
    pub directory: Directory,
}

impl Area {
    pub fn of(path: &str) -> Result<Self, HttpError> {
        let rest = path.strip_prefix(PREFIX).ok_or_else(HttpError::not_found)?;
        // Decoded as a whole: an escaped slash or dot gains nothing, paths are checked below.
        let rest = percent_decode_str(rest).decode_utf8().map_err(|_| HttpError::not_found())?;
        if matches!(&*rest, "/artifacts" | "/artifacts/") {
            return Ok(Self::List);
        }
        let below = |prefix: &str| rest.strip_prefix(prefix).map(str::to_owned);
        let found = below(ARTIFACTS)
            .map(Self::Artifacts)
            .or_else(|| below(PRESIGNED).map(Self::Presigned))
            .or_else(|| below(CREATE).map(Self::Create))
            .or_else(|| below(COMPLETE).map(Self::Complete))
            .or_else(|| below(ABORT).map(Self::Abort));
        found.ok_or_else(HttpError::not_found)
    }

    pub fn endpoint(&self, method: &Method) -> Result<Endpoint, HttpError> {
        let is_get = matches!(*method, Method::GET | Method::HEAD);
        match self {
            Self::List if is_get => Ok(Endpoint::ListArtifacts),
            Self::Presigned(_) if is_get => Ok(Endpoint::PresignArtifact),
            Self::List | Self::Presigned(_) => Err(method_not_allowed("GET, HEAD")),
            Self::Artifacts(_) => match *method {
                Method::GET | Method::HEAD => Ok(Endpoint::ReadArtifact),
                Method::PUT => Ok(Endpoint::PutArtifact),
                Method::DELETE => Ok(Endpoint::DeleteArtifacts),
                _ => Err(method_not_allowed("GET, HEAD, PUT, DELETE")),
            },
            Self::Create(_) if *method == Method::POST => Ok(Endpoint::BeginArtifact),
            Self::Complete(_) if *method == Method::POST => Ok(Endpoint::CompleteArtifact),
            Self::Abort(_) if *method == Method::POST => Ok(Endpoint::AbortArtifact),
            Self::Create(_) | Self::Complete(_) | Self::Abort(_) => Err(method_not_allowed("POST")),
        }
    }

    pub fn place(&self, uri: &Uri) -> Result<Place, HttpError> {
        match self {
            Self::List => {
                let parameters = Parameters::of(uri);
                Place::of(parameters.text("path")?.unwrap_or_default())
            }
            Self::Artifacts(path)
            | Self::Presigned(path)
            | Self::Create(path)
            | Self::Complete(path)
            | Self::Abort(path) => Place::of(path),
        }
    }
}

impl Place {
    fn of(path: &str) -> Result<Self, HttpError> {
        let path = path.trim_end_matches('/');
        let (project, rest) =
            path.split_once('/').map_or((path, None), |(project, rest)| (project, Some(rest)));
        let repository = format!("{project}/{REPOSITORY}").parse().map_err(|_| {
            HttpError::invalid(
                "the first segment of a path names the project: mlflow-artifacts://HOST/PROJECT",
            )
        })?;
        let directory = rest.map(path_of).transpose()?.map_or(Directory::ROOT, Directory::from);
        Ok(Self { repository, directory })
    }

    /// The path of a file: it is in the project and not the project itself.
    pub fn file(&self) -> Result<&FilePath, HttpError> {
        self.directory.path().ok_or_else(|| HttpError::invalid("a file has a path below its project"))
    }
}

pub(super) fn path_of(text: &str) -> Result<FilePath, HttpError> {
    text.parse().map_err(|error: crate::domain::path::InvalidPath| HttpError::invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parsing_any_path_never_panics(path in ".{0,80}") {
            for path in [path.clone(), format!("{PREFIX}/artifacts/{path}")] {
                if let (Ok(area), Ok(uri)) = (Area::of(&path), "/".parse()) {
                    let _ = area.place(&uri);
                }
            }
        }
    }

    fn place(path: &str) -> Option<(String, Option<String>)> {
        let area = Area::of(&format!("{PREFIX}{path}")).ok()?;
        let place = area.place(&"/".parse().ok()?).ok()?;
        Some((place.repository.to_string(), place.directory.path().map(ToString::to_string)))
    }

    #[test]
    fn the_first_segment_is_the_project() {
        let team = |path: &str| Some(("team/mlflow-artifacts".to_owned(), Some(path.to_owned())));
        assert_eq!(place("/artifacts/team/7/a%20b.bin"), team("7/a b.bin"));
        assert_eq!(place("/artifacts/team/7/dir/"), team("7/dir"));
        assert_eq!(place("/mpu/create/team/7/%C3%A4"), team("7/\u{e4}"));
        assert_eq!(place("/artifacts/team/"), Some(("team/mlflow-artifacts".to_owned(), None)));
    }

    #[test]
    fn paths_that_climb_lead_nowhere() {
        for path in [
            "/artifacts/team/../other/x",
            "/artifacts/team/%2e%2e/other",
            "/artifacts/team//x",
            "/artifacts//x",
            "/artifacts/%2e%2e/x",
            "/artifacts/Team/x",
            "/artifacts/team/a%00b",
            "/artifacts/team/%ff",
            "/mpu/other/team/x",
            "/elsewhere",
        ] {
            assert_eq!(place(path), None, "{path}");
        }
    }
}
