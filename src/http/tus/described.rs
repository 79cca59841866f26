//! What the OpenAPI document says of the endpoints of tus.

use serde_json::json;

use crate::http::description::{Description, Shape, shaped};
use crate::http::endpoint::Endpoint;

const ABILITIES: &[&str] =
    &["Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm"];
const CREATED: &[&str] =
    &["Tus-Resumable", "Location", "Upload-Offset", "Upload-Expires", "Docker-Content-Digest"];
const APPENDED: &[&str] = &["Tus-Resumable", "Upload-Offset", "Upload-Expires", "Docker-Content-Digest"];
const STATE: &[&str] = &[
    "Tus-Resumable",
    "Upload-Offset",
    "Upload-Length",
    "Upload-Defer-Length",
    "Upload-Metadata",
    "Upload-Expires",
    "Docker-Content-Digest",
];

/// None for those of other front doors.
pub(in crate::http) fn described(endpoint: Endpoint) -> Option<Description> {
    let to = Description::new;
    Some(match endpoint {
        Endpoint::TusDiscover => to("What the server can do of tus").answers(204, "It is this", ABILITIES, []),
        Endpoint::TusCreate => versioned(to("Begins an upload"))
            .note("A body is the first chunk. With `X-HTTP-Method-Override` it is that method's request.")
            .header("Upload-Length", "Of the whole, in bytes")
            .header("Upload-Defer-Length", "`1`: the length is told with a later chunk")
            .header(
                "Upload-Metadata",
                "Keys, each with a value in Base64, divided by commas: `digest` or `sha256` declares what the bytes are",
            )
            .header("Upload-Checksum", "Of the body: `sha1`, `sha256` or `sha512`, and the checksum in Base64")
            .may_take([bytes()])
            .answers(201, "The upload goes on at `Location`", CREATED, []),
        Endpoint::TusDescribe => versioned(to("Where an upload stands")).answers(200, "It stands here", STATE, []),
        Endpoint::TusAppend => versioned(to("Sends a chunk; the last one makes the blob"))
            .note(
                "A chunk for another offset is answered by `409`, one that does not match its checksum by `460`, and one \
                 to an upload that somebody else appends to by `423`.",
            )
            .header("Upload-Offset", "Where the chunk goes")
            .header("Upload-Length", "Of the whole, where that was not told before")
            .header("Upload-Checksum", "Of the chunk: `sha1`, `sha256` or `sha512`, and the checksum in Base64")
            .takes(bytes())
            .answers(204, "The chunk is kept", APPENDED, []),
        Endpoint::TusTerminate => {
            versioned(to("Gives an upload up")).answers(204, "Nothing of it is left", &["Tus-Resumable"], [])
        }
        _ => return None,
    })
}

fn versioned(request: Description) -> Description {
    request.header("Tus-Resumable", "`1.0.0`")
}

fn bytes() -> Shape {
    shaped("application/offset+octet-stream", json!({}))
}
