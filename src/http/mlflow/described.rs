//! What the OpenAPI document says of the artifacts' endpoints.

use serde_json::json;

use super::wire::{Abort, Complete, Create, Created, List, PresignedFile, Refused, ServerInfo};
use crate::http::description::{Description, Shape, bytes, of, shaped};
use crate::http::endpoint::Endpoint;

const BLOB: &[&str] = &["Docker-Content-Digest", "ETag", "Accept-Ranges"];
const PART_OF_BLOB: &[&str] = &["Docker-Content-Digest", "ETag", "Accept-Ranges", "Content-Range"];
const PLACE: &[&str] = &["Location", "Docker-Content-Digest"];

/// None for those of other front doors.
pub(in crate::http) fn described(endpoint: Endpoint) -> Option<Description> {
    let to = Description::new;
    Some(match endpoint {
        Endpoint::MlflowServerInfo => {
            to("What an MLflow client may count on").answers(200, "It is this", &[], [of::<ServerInfo>()])
        }
        Endpoint::ListArtifacts => to("What lies in a directory")
            .note("A directory that is not there is empty. Of a file it is that file.")
            .needs::<String>("path", "The directory; its first segment is the project")
            .answers(200, "All of it", &[], [of::<List>()]),
        Endpoint::ReadArtifact => to("A file's bytes")
            .header("Range", "`bytes=0-99` for the first hundred")
            .header("If-Range", "The `ETag` that `Range` is about")
            .header("If-None-Match", "The `ETag` of what the caller has already")
            .answers(200, "The file", BLOB, [bytes()])
            .answers(206, "The range of it", PART_OF_BLOB, [bytes()])
            .answers(304, "It is the same", BLOB, [])
            .answers(307, "The bucket has the bytes", PLACE, []),
        Endpoint::PutArtifact => to("Takes a file through the server; the last writer wins")
            .takes(bytes())
            .answers(200, "It is there", &[], [nothing()]),
        Endpoint::DeleteArtifacts => to("Deletes a file, or all that lies below a directory")
            .note("What is gone is fine.")
            .answers(200, "It is gone", &[], [nothing()]),
        Endpoint::BeginArtifact => to("Begins a file whose parts go to the bucket")
            .note(
                "The path is the directory. Where parts of lengths that nobody tells are not taken, as into a project whose \
                 bytes are limited, the answer is `501`, and the client sends the file as a whole.",
            )
            .takes(of::<Create>())
            .answers(200, "A URL for each part", &[], [of::<Created>()]),
        Endpoint::CompleteArtifact => to("Makes a file of the parts that have been sent")
            .takes(of::<Complete>())
            .answers(200, "It is there", &[], [nothing()]),
        Endpoint::AbortArtifact => to("Gives a file up whose parts were to be sent")
            .takes(of::<Abort>())
            .answers(200, "Nothing of it is left", &[], [nothing()]),
        Endpoint::PresignArtifact => to("Where a file's bytes are to be had")
            .note("Without `file_size` they are to be asked for here.")
            .answers(200, "A presigned URL", &[], [of::<PresignedFile>()]),
        _ => return None,
    })
}

/// An error's.
pub(in crate::http) fn refusal() -> Shape {
    of::<Refused>()
}

fn nothing() -> Shape {
    shaped("application/json", json!({ "type": "object" }))
}
