//! Taking a path of the Hub apart: the kind of a repository, its name, and what of it is asked for.

use axum::http::Method;
use percent_encoding::percent_decode_str;

use super::error::{repository_not_found, revision_not_found};
use crate::domain::hub::{HubName, InvalidRef, RefName, RepositoryKind, Revision};
use crate::domain::name::RepositoryName;
use crate::domain::path::{Directory, FilePath, InvalidPath};
use crate::http::endpoint::Endpoint;
use crate::http::error::HttpError;
use crate::http::extract::Parameters;
use crate::http::method_not_allowed;

/// What stands between a repository's name and a revision where a file is read.
const RESOLVE: &str = "resolve";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    WhoAmI,
    Create,
    Delete,
    ValidateCard,
    List(RepositoryKind),
    /// A token of Xet, whatever it is to be for.
    Xet,
    Of(HubName, Area),
}

/// What of one repository is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Area {
    Info,
    AuthCheck,
    Refs,
    Revision(Revision),
    Tree(Revision, Directory),
    PathsInfo(Revision),
    Commits(Revision),
    Preupload(Revision),
    Commit(Revision),
    Branch(RefName),
    /// To be made it is the revision that it is to point to.
    Tag(Revision),
    Resolve(Revision, FilePath),
}

impl Route {
    pub fn parse(path: &str) -> Result<Self, HttpError> {
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match segments[..] {
            ["api", "whoami-v2"] => Ok(Self::WhoAmI),
            ["api", "repos", "create"] => Ok(Self::Create),
            ["api", "repos", "delete"] => Ok(Self::Delete),
            ["api", "validate-yaml"] => Ok(Self::ValidateCard),
            ["api", kind] => kind.parse().map(Self::List).map_err(|_| HttpError::not_found()),
            ["api", _, _, _, "xet-write-token" | "xet-read-token", _] => Ok(Self::Xet),
            ["api", kind, project, name, ref rest @ ..] => {
                let kind = kind.parse().map_err(|_| HttpError::not_found())?;
                Ok(Self::Of(named(kind, project, name)?, Area::parse(rest)?))
            }
            [kind @ ("datasets" | "spaces"), project, name, RESOLVE, revision, ref path @ ..] => {
                let kind = kind.parse().map_err(|_| HttpError::not_found())?;
                Ok(Self::Of(named(kind, project, name)?, resolve(revision, path)?))
            }
            [project, name, RESOLVE, revision, ref path @ ..] => {
                Ok(Self::Of(named(RepositoryKind::Models, project, name)?, resolve(revision, path)?))
            }
            // What has no namespace is on no server of one's own.
            _ => Err(repository_not_found()),
        }
    }

    /// What a method does here.
    pub fn endpoint(&self, method: &Method) -> Result<Endpoint, HttpError> {
        use Endpoint as E;
        let (is_get, is_post) = (matches!(*method, Method::GET | Method::HEAD), *method == Method::POST);
        let (endpoint, allowed) = match self {
            Self::WhoAmI => (is_get.then_some(E::HubWhoAmI), "GET, HEAD"),
            Self::Create => (is_post.then_some(E::HubCreateRepository), "POST"),
            Self::Delete => ((*method == Method::DELETE).then_some(E::HubDeleteRepository), "DELETE"),
            Self::ValidateCard => (is_post.then_some(E::HubValidateCard), "POST"),
            Self::List(_) => (is_get.then_some(E::HubListRepositories), "GET, HEAD"),
            Self::Xet => (is_get.then_some(E::HubXetToken), "GET, HEAD"),
            Self::Of(_, area) => match area {
                Area::PathsInfo(_) => (is_post.then_some(E::HubPathsInfo), "POST"),
                Area::Preupload(_) => (is_post.then_some(E::HubPreupload), "POST"),
                Area::Commit(_) => (is_post.then_some(E::HubCommit), "POST"),
                Area::Branch(_) => match *method {
                    Method::POST => (Some(E::HubCreateBranch), ""),
                    Method::DELETE => (Some(E::HubDeleteBranch), ""),
                    _ => (None, "POST, DELETE"),
                },
                Area::Tag(_) => match *method {
                    Method::POST => (Some(E::HubCreateTag), ""),
                    Method::DELETE => (Some(E::HubDeleteTag), ""),
                    _ => (None, "POST, DELETE"),
                },
                Area::Info => (is_get.then_some(E::HubReadRepository), "GET, HEAD"),
                Area::AuthCheck => (is_get.then_some(E::HubAuthCheck), "GET, HEAD"),
                Area::Refs => (is_get.then_some(E::HubListRefs), "GET, HEAD"),
                Area::Revision(_) => (is_get.then_some(E::HubReadRevision), "GET, HEAD"),
                Area::Tree(..) => (is_get.then_some(E::HubListTree), "GET, HEAD"),
                Area::Commits(_) => (is_get.then_some(E::HubListCommits), "GET, HEAD"),
                Area::Resolve(..) => (is_get.then_some(E::HubResolve), "GET, HEAD"),
            },
        };
        endpoint.ok_or_else(|| method_not_allowed(allowed))
    }
}

impl Area {
    fn parse(segments: &[&str]) -> Result<Self, HttpError> {
        match *segments {
            [] => Ok(Self::Info),
            ["auth-check"] => Ok(Self::AuthCheck),
            ["refs"] => Ok(Self::Refs),
            ["revision", at] => Ok(Self::Revision(revision(at)?)),
            ["tree", at, ref path @ ..] => {
                let path: Vec<_> = path.iter().filter(|segment| !segment.is_empty()).copied().collect();
                let directory =
                    if path.is_empty() { Directory::ROOT } else { Directory::from(file_path(&path)?) };
                Ok(Self::Tree(revision(at)?, directory))
            }
            ["paths-info", at] => Ok(Self::PathsInfo(revision(at)?)),
            ["commits", at] => Ok(Self::Commits(revision(at)?)),
            ["preupload", at] => Ok(Self::Preupload(revision(at)?)),
            ["commit", at] => Ok(Self::Commit(revision(at)?)),
            ["branch", ref name @ ..] => Ok(Self::Branch(ref_name(&decoded(&name.join("/"))?)?)),
            ["tag", ref name @ ..] => Ok(Self::Tag(revision(&name.join("/"))?)),
            _ => Err(HttpError::not_found()),
        }
    }
}

/// Whose repositories are listed.
pub(super) fn author(parameters: &Parameters) -> Result<Option<RepositoryName>, HttpError> {
    let author = parameters.text("author")?.map(str::to_ascii_lowercase);
    Ok(author
        .and_then(|author| author.parse().ok())
        .filter(|name: &RepositoryName| !name.as_str().contains('/')))
}

pub(super) fn ref_name(text: &str) -> Result<RefName, HttpError> {
    text.parse().map_err(|error: InvalidRef| HttpError::invalid(error.to_string()))
}

pub(super) fn path_of(text: &str) -> Result<FilePath, HttpError> {
    text.parse().map_err(|error: InvalidPath| HttpError::invalid(format!("{text:.200}: {error}")))
}

fn named(kind: RepositoryKind, project: &str, name: &str) -> Result<HubName, HttpError> {
    HubName::new(kind, &format!("{}/{}", decoded(project)?, decoded(name)?))
        .map_err(|_| repository_not_found())
}

fn resolve(at: &str, path: &[&str]) -> Result<Area, HttpError> {
    Ok(Area::Resolve(revision(at)?, file_path(path)?))
}

/// What cannot be one is none.
fn revision(text: &str) -> Result<Revision, HttpError> {
    decoded(text)?.parse().map_err(|_| revision_not_found(text))
}

fn file_path(segments: &[&str]) -> Result<FilePath, HttpError> {
    path_of(&decoded(&segments.join("/"))?)
}

/// An escaped slash or dot gains nothing: what is decoded is checked.
fn decoded(text: &str) -> Result<String, HttpError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| HttpError::not_found())?;
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parsing_any_path_never_panics(path in ".{0,80}") {
            for path in [path.clone(), format!("/api/models/{path}"), format!("/a/b/resolve/{path}")] {
                if let Ok(route) = Route::parse(&path) {
                    let _ = route.endpoint(&Method::GET);
                }
            }
        }
    }

    fn name(kind: RepositoryKind) -> HubName {
        HubName::new(kind, "team/M1").expect("a name")
    }

    #[test]
    fn the_kind_is_in_the_path_and_models_have_none_outside_the_api() {
        let main: Revision = "main".parse().expect("a revision");
        let file: FilePath = "a/b c.bin".parse().expect("a path");
        for (path, kind) in [
            ("/team/M1/resolve/main/a/b%20c.bin", RepositoryKind::Models),
            ("/datasets/team/M1/resolve/main/a/b%20c.bin", RepositoryKind::Datasets),
            ("/spaces/team/M1/resolve/main/a%2Fb%20c.bin", RepositoryKind::Spaces),
        ] {
            let expected = Route::Of(name(kind), Area::Resolve(main.clone(), file.clone()));
            assert_eq!(Route::parse(path).ok(), Some(expected), "{path}");
        }
        let tree = Route::parse("/api/datasets/team/M1/tree/refs%2Fheads%2Fx/").expect("a route");
        let at = "refs/heads/x".parse().expect("a revision");
        assert_eq!(tree, Route::Of(name(RepositoryKind::Datasets), Area::Tree(at, Directory::ROOT)));
    }

    #[test]
    fn paths_that_climb_lead_nowhere() {
        for path in [
            "/team/../resolve/main/x",
            "/team/m/resolve/main/../x",
            "/team/m/resolve/main/%2e%2e/x",
            "/team/m/resolve/main/",
            "/team/m/resolve/ma..in/x",
            "/team%2fother/m/resolve/main/x",
            "/api/models/team/m/tree/main/a/../b",
            "/api/other/team/m",
            "/api/models/gpt2",
            "/api/models/api/m",
        ] {
            assert!(Route::parse(path).is_err(), "{path}");
        }
    }
}
