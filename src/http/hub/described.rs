//! What the OpenAPI document says of the Hub's endpoints.

use super::wire::{
    BranchRequest, CardCheck, CommitInfo, Committed, Created, Entry, HubError, Info, Line, PathsRequest,
    Preupload, PreuploadRequest, Refs, RepositoryRequest, Summary, TagRequest, WhoAmI,
};
use crate::http::description::{Description, Shape, bytes, list_of, of, typed};
use crate::http::endpoint::Endpoint;

const FILE: &[&str] = &["ETag", "Accept-Ranges", "X-Linked-ETag", "X-Linked-Size", "X-Repo-Commit"];
const PLACE: &[&str] = &["Location", "ETag", "X-Linked-ETag", "X-Linked-Size", "X-Repo-Commit"];

/// None for those of other front doors.
pub(in crate::http) fn described(endpoint: Endpoint) -> Option<Description> {
    let to = Description::new;
    Some(match endpoint {
        Endpoint::HubWhoAmI => to("Who asks").answers(200, "It is this", &[], [of::<WhoAmI>()]),
        Endpoint::HubCreateRepository => to("Makes a repository")
            .note("It takes the right to push to its project.")
            .takes(of::<RepositoryRequest>())
            .answers(200, "It is made", &[], [of::<Created>()])
            .answers(409, "It was there", &[], [of::<Created>()]),
        Endpoint::HubDeleteRepository => to("Deletes a repository with all that it has")
            .note("It takes the right to delete in its project.")
            .takes(of::<RepositoryRequest>())
            .answers(200, "It is gone", &[], []),
        Endpoint::HubValidateCard => {
            to("Finds nothing wrong with a card").answers(200, "Nothing", &[], [of::<CardCheck>()])
        }
        Endpoint::HubListRepositories => to("The repositories of a project")
            .note("Of a project that is not there, or that the caller may not read, there are none.")
            .query::<String>("author", "The project")
            .answers(200, "Up to 1,000 of them", &[], [list_of::<Summary>()]),
        Endpoint::HubReadRepository => {
            to("What the branch main has").answers(200, "All of it", &[], [of::<Info>()])
        }
        Endpoint::HubReadRevision => to("What a revision has").answers(200, "All of it", &[], [of::<Info>()]),
        Endpoint::HubListTree => to("What lies in a directory")
            .query::<bool>("recursive", "Whether what lies deeper is listed too")
            .query::<u32>("limit", "Entries on a page, at most 1,000")
            .query::<String>("cursor", "The last path of an earlier page")
            .answers(200, "A page of it", &["Link"], [list_of::<Entry>()]),
        Endpoint::HubPathsInfo => to("What some paths name")
            .note("Those that are not there are left out.")
            .may_take([of::<PathsRequest>(), typed::<PathsRequest>("application/x-www-form-urlencoded")])
            .answers(200, "Those that are there", &[], [list_of::<Entry>()]),
        Endpoint::HubListRefs => to("Branches and tags").answers(200, "All of them", &[], [of::<Refs>()]),
        Endpoint::HubListCommits => to("A commit and those before it").answers(
            200,
            "The newest first",
            &["Link", "X-Repo-Commit"],
            [list_of::<CommitInfo>()],
        ),
        Endpoint::HubAuthCheck => {
            to("Whether the caller may read the repository").answers(200, "Yes", &[], [])
        }
        Endpoint::HubPreupload => to("How files are to be sent")
            .note("It takes the right to pull besides.")
            .query::<String>("create_pr", "Pull requests are not kept: `501`")
            .takes(of::<PreuploadRequest>())
            .answers(200, "Each with its way, and what is there", &[], [of::<Preupload>()]),
        Endpoint::HubCommit => to("Makes a commit of lines of JSON")
            .note("It takes the right to pull besides. Sent again it gives the same commit.")
            .query::<String>("create_pr", "Pull requests are not kept: `501`")
            .takes(typed::<Line>("application/x-ndjson"))
            .answers(200, "The branch points to it", &[], [of::<Committed>()]),
        Endpoint::HubCreateBranch => {
            to("Makes a branch").takes(of::<BranchRequest>()).answers(200, "It is there", &[], [])
        }
        Endpoint::HubDeleteBranch => to("Deletes a branch").answers(200, "It is gone", &[], []),
        Endpoint::HubCreateTag => {
            to("Makes a tag").takes(of::<TagRequest>()).answers(200, "It is there", &[], [])
        }
        Endpoint::HubDeleteTag => to("Deletes a tag").answers(200, "It is gone", &[], []),
        Endpoint::HubXetToken => {
            to("Says that this server speaks no Xet").answers(404, "It does not", &[], [of::<HubError>()])
        }
        Endpoint::HubResolve => to("A file's bytes")
            .note("Of a dataset or a space the path begins with `/datasets/` or `/spaces/`.")
            .header("Range", "`bytes=0-99` for the first hundred")
            .answers(200, "The file", FILE, [bytes()])
            .answers(206, "The range of it", FILE, [bytes()])
            .answers(302, "The bucket has the bytes", PLACE, [])
            .answers(304, "It is the same", FILE, []),
        _ => return None,
    })
}

/// An error's.
pub(in crate::http) fn refusal() -> Shape {
    of::<HubError>()
}
