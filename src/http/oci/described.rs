//! What the OpenAPI document says of the registry's endpoints and of presigned uploads.

use overside_protocol::wire::{
    BlobList, Catalog, FinalizeBody, Index, PresignedUpload, TagList, UploadState,
};
use serde_json::json;

use crate::domain::digest::Digest;
use crate::domain::manifest::INDEX;
use crate::domain::media_type::MediaType;
use crate::http::description::{Description, Shape, bytes, of, one_of, shaped, typed};
use crate::http::endpoint::Endpoint;

const UPLOAD: &[&str] = &["Location", "Range", "Upload-UUID", "Docker-Upload-UUID"];
const BEGUN: &[&str] = &["Location", "Range", "Upload-UUID", "Docker-Upload-UUID", "OCI-Chunk-Min-Length"];
const PROVING: &[&str] = &["Location", "Preference-Applied", "Upload-UUID", "Docker-Upload-UUID"];
const REDIRECTED: &[&str] = &["Location", "Upload-UUID", "Docker-Upload-UUID"];
const PART: &[&str] = &["Location", "Docker-Upload-Location", "Upload-UUID", "Docker-Upload-UUID"];
const PLACE: &[&str] = &["Location", "Docker-Content-Digest"];
const BLOB: &[&str] = &["Docker-Content-Digest", "ETag", "Accept-Ranges"];
const PART_OF_BLOB: &[&str] = &["Docker-Content-Digest", "ETag", "Accept-Ranges", "Content-Range"];
const MANIFEST: &[&str] = &["Docker-Content-Digest", "ETag"];
const PUSHED: &[&str] = &["Location", "Docker-Content-Digest", "OCI-Subject", "OCI-Tag"];

/// None for those of other front doors.
pub(in crate::http) fn described(endpoint: Endpoint) -> Option<Description> {
    let to = Description::new;
    Some(match endpoint {
        Endpoint::Base => to("Whether this is a registry that lets its caller in")
            .answers(200, "It is", &[], [shaped("application/json", json!({ "type": "object" }))]),
        Endpoint::Catalog => paged(to("Repositories that the caller may pull from"), of::<Catalog>()),
        Endpoint::BeginUpload => signing(to("Begins an upload, mounts a blob, or takes a whole one"))
            .note(
                "With a body and `digest` the body is the blob. With `mount` the blob comes from another repository, \
                 or else an upload begins. With `presigned=true` the answer says where the bytes go: one request less. \
                 Ollama is told in `X-Direct-Upload-URL`, with the headers of the request to it behind `X-Signed-Header-`.",
            )
            .query::<Digest>("mount", "The blob to be had from another repository")
            .query::<String>("from", "That repository; without it any that the caller may pull from will do")
            .query::<String>("digest-algorithm", "`sha256` or `sha512`, where no digest is named yet")
            .header("X-Redirect-Uploads", "`2`: the blob of `digest` may go to the bucket, as Ollama's do")
            .header("X-Content-Length", "Of that blob, in bytes")
            .may_take([bytes()])
            .answers(201, "The blob is there", PLACE, [])
            .answers(202, "The upload goes on at `Location`", BEGUN, [of::<PresignedUpload>()]),
        Endpoint::DescribeUpload => signing(to("Where an upload stands, or where its bytes go"))
            .note("JSON of the session's state is for whoever sends `Accept: application/json`.")
            .answers(200, "Presigned URLs, or the state", &[], [one_of([of::<PresignedUpload>(), of::<UploadState>()])])
            .answers(204, "So much of it has arrived", UPLOAD, []),
        Endpoint::Append => to("Sends a chunk through the server")
            .note("One that does not begin where the last one ended is answered by `416`, with `Location` and `Range`.")
            .header("Content-Range", "Where the chunk goes, `0-99` for the first hundred bytes")
            .takes(bytes())
            .header("X-Redirect-Uploads", "`1`: the chunk may go to the bucket as a part of the blob, as Ollama's do")
            .answers(202, "The chunk is kept", UPLOAD, [])
            .answers(307, "The part is sent by PUT to `Location`, the next one asked for at the other", PART, []),
        Endpoint::Finalize => to("Ends an upload: proves the digest and publishes the blob")
            .note(
                "The body is the last chunk of an upload through the server, or what the client knows of its parts. Who \
                 does not know the digest is told it: one of the two parameters is needed.",
            )
            .query::<Digest>("digest", "What the bytes should be")
            .query::<String>("digest-algorithm", "`sha256` or `sha512`, by which to compute a digest that is not told")
            .query::<String>("etag", "Ends in `-` and the number of parts, where the client was sent to the bucket with them")
            .header("Prefer", "`respond-async`: answer before the digest is proven")
            .may_take([of::<FinalizeBody>(), bytes()])
            .answers(201, "The blob is there", PLACE, [])
            .answers(307, "A stock client that is known to follow sends the whole blob to the bucket", REDIRECTED, [])
            .answers(202, "It is being proven; the state at `Location` says how far that is", PROVING, []),
        Endpoint::Abort => to("Gives an upload up").answers(204, "Nothing of it is left", &[], []),
        Endpoint::ReadBlob => unless_known(to("A blob's bytes"), BLOB)
            .header("Range", "`bytes=0-99` for the first hundred")
            .header("If-Range", "The `ETag` that `Range` is about")
            .answers(200, "The blob", BLOB, [bytes()])
            .answers(206, "The range of it", PART_OF_BLOB, [bytes()])
            .answers(307, "The bucket has the bytes", PLACE, []),
        Endpoint::DescribeBlob => {
            unless_known(to("Whether a blob is there, and its size"), BLOB).answers(200, "It is", BLOB, [])
        }
        Endpoint::DeleteBlob => {
            to("Takes a blob out of a repository").answers(202, "The repository has it no longer", &[], [])
        }
        Endpoint::ReadManifest => unless_known(to("A manifest, byte by byte as it was pushed"), MANIFEST)
            .answers(200, "The manifest, of the type that it was pushed with", MANIFEST, [manifest()]),
        Endpoint::DescribeManifest => unless_known(to("Whether a manifest is there, and its digest"), MANIFEST)
            .answers(200, "It is", MANIFEST, []),
        Endpoint::PushManifest => to("Pushes a manifest of up to 4 MiB, and tags it")
            .query::<Vec<String>>("tag", "Another tag; up to 50 of them")
            .takes(manifest())
            .answers(201, "It is there, with its tags", PUSHED, []),
        Endpoint::DeleteManifest => to("Deletes a tag, or a manifest with its tags")
            .answers(202, "It is gone; a tag's manifest stays", &[], []),
        Endpoint::ListTags => paged(to("A repository's tags"), of::<TagList>()),
        Endpoint::ListBlobs => paged(to("A repository's blobs, in manifests or not"), of::<BlobList>())
            .note("None of OCI's endpoints."),
        Endpoint::ListReferrers => paged(to("Manifests whose subject this is"), typed::<Index>(INDEX))
            .note("The subject need not be there. With `artifactType` the answer has `OCI-Filters-Applied`.")
            .query::<MediaType>("artifactType", "Only those of this type"),
        _ => return None,
    })
}

fn paged(list: Description, page: Shape) -> Description {
    list.query::<u32>("n", "Entries on a page, at most 1,000")
        .query::<String>("last", "Begins behind this one; `Link` has it for the next page")
        .answers(200, "A page of them", &["Link"], [page])
}

fn unless_known(content: Description, headers: &[&str]) -> Description {
    content.header("If-None-Match", "The `ETag` of what the caller has already").answers(
        304,
        "It is the same",
        headers,
        [],
    )
}

fn signing(upload: Description) -> Description {
    upload
        .query::<bool>("presigned", "Answers with presigned URLs")
        .query::<u64>("size", "Of the blob, in bytes; bound into the URLs")
        .query::<Digest>("digest", "Of the blob; bound into the URL of a single PUT")
        .query::<String>("mode", "`put` or `multipart`; without it what fits the size")
        .query::<String>("parts", "Whose URLs are wanted, `1-100`; without it the next that are missing")
}

/// JSON of the OCI shape; its media type is up to whoever pushes it.
fn manifest() -> Shape {
    shaped("*/*", json!({}))
}
