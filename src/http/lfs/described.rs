//! What the OpenAPI document says of Git LFS.

use serde_json::json;
use utoipa::ToSchema;

use super::wire::{
    BatchAnswer, BatchRequest, CompletionRequest, LfsError, LockAnswer, LockPage, LockRequest, OwnedLockPage,
    UnlockRequest, VerifyLocksRequest, VerifyRequest,
};
use crate::http::description::{Description, Schemas, Shape, bytes, shaped, typed};
use crate::http::endpoint::Endpoint;
use crate::http::oci;

const JSON: &str = "application/vnd.git-lfs+json";
const OBJECT: &[&str] = &["Docker-Content-Digest", "ETag", "Accept-Ranges"];
const PART_OF_OBJECT: &[&str] = &["Docker-Content-Digest", "ETag", "Accept-Ranges", "Content-Range"];
const PLACE: &[&str] = &["Location", "Docker-Content-Digest"];

/// None for those of other front doors.
pub(in crate::http) fn described(endpoint: Endpoint) -> Option<Description> {
    let to = Description::new;
    Some(match endpoint {
        Endpoint::LfsBatch => to("Where the bytes of up to 1,000 objects go, or come from")
            .note("`upload` takes the right to push. An object without actions is there already.")
            .takes(of::<BatchRequest>())
            .answers(200, "Each object with what to do, or why not", &[], [of::<BatchAnswer>()]),
        Endpoint::LfsReadObject => signed(to("An object's bytes"))
            .header("Range", "`bytes=100-` for what is behind the first hundred")
            .header("If-Range", "The `ETag` that `Range` is about")
            .answers(200, "The object", OBJECT, [bytes()])
            .answers(206, "The range of it", PART_OF_OBJECT, [bytes()])
            .answers(304, "It is the same", OBJECT, [])
            .answers(307, "The bucket has the bytes", PLACE, []),
        // For the transfer `overside`, which is the registry's own protocol.
        Endpoint::LfsDescribeUpload => signed(oci::described(Endpoint::DescribeUpload)?),
        Endpoint::LfsVerify => signed(to("Ends an upload: proves the object and publishes it"))
            .takes(of::<VerifyRequest>())
            .answers(200, "It is there", &[], [object()]),
        Endpoint::LfsComplete => signed(to("Ends an upload in parts"))
            .takes(of::<CompletionRequest>())
            .answers(200, "It is there, or is being proven", &[], [object()]),
        Endpoint::LfsListLocks => to("Locks on files")
            .query::<String>("path", "Only the lock on this file")
            .query::<String>("id", "Only this lock")
            .query::<String>("cursor", "The `next_cursor` of an earlier page")
            .query::<u32>("limit", "Locks on a page, at most 1,000")
            .answers(200, "A page of them", &[], [of::<LockPage>()]),
        Endpoint::LfsCreateLock => to("Locks a file")
            .takes(of::<LockRequest>())
            .answers(201, "It is locked", &[], [of::<LockAnswer>()])
            .answers(409, "It was locked already", &[], [of::<LockAnswer>()]),
        Endpoint::LfsVerifyLocks => to("Locks on files, the caller's and others'")
            .takes(of::<VerifyLocksRequest>())
            .answers(200, "A page of them", &[], [of::<OwnedLockPage>()]),
        Endpoint::LfsUnlock => to("Ends a lock, with `force` also somebody else's")
            .note("Somebody else's takes the right to delete.")
            .takes(of::<UnlockRequest>())
            .answers(200, "The lock that was", &[], [of::<LockAnswer>()]),
        _ => return None,
    })
}

/// The body of every other answer.
pub(in crate::http) fn refused() -> Schemas {
    of::<LfsError>().schemas
}

fn signed(call: Description) -> Description {
    call.note("The URL is the permission, for as long as it lives; a batch gives it.")
        .needs::<i64>("expires", "In seconds since the epoch")
        .query::<String>("user", "Whom it was signed for")
        .needs::<String>("signature", "HMAC-SHA256 of all of it")
}

fn of<T: ToSchema>() -> Shape {
    typed::<T>(JSON)
}

fn object() -> Shape {
    shaped(JSON, json!({ "type": "object" }))
}
