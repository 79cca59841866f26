//! What several endpoints have in common: doors, parameters in paths, headers of answers, errors, ways to sign in.

use overside_protocol::wire::IS_NAME;
use serde_json::{Map, Value, json};

use crate::http::description::refer;
use crate::http::{api, endpoint, gate, mlflow, oci, tus};
use crate::storage::signed_url::SIGNED_PATH;

pub(super) const INTRODUCTION: &str = "\
    `HEAD` is taken wherever `GET` is. Where nobody has to sign in (`--auth none`) everybody may everything. \
    Times are RFC 3339 in UTC, sizes are bytes. An unknown parameter is ignored; a known one may be given once.";

/// Where requests come in: a name, what its paths begin with, what it is for, and the error that its answers have, none
/// where they are text.
pub(super) type Door = (&'static str, &'static str, &'static str, Option<&'static str>);

pub(super) const DOORS: [Door; 10] = [
    (
        "registry",
        oci::PREFIX,
        "The registry (OCI distribution 1.1.1), and presigned uploads",
        Some("Refused"),
    ),
    ("lfs", "/{name}/info/lfs/", "Git LFS: objects and locks", Some("RefusedByLfs")),
    // Before the one below, whose paths begin alike.
    ("mlflow", mlflow::PREFIX, "Artifacts of MLflow (3.17)", Some("RefusedArtifact")),
    ("tus", tus::PREFIX, "Resumable uploads (tus 1.0.0)", Some("RefusedByTus")),
    // Some of its paths begin otherwise: see below.
    ("hub", "/api/{kind}", "Repositories of the Hugging Face Hub", Some("RefusedByHub")),
    (
        "api",
        api::PREFIX,
        "Accounts, projects and settings, in the shape of Harbor's API",
        Some("RefusedByApi"),
    ),
    ("tokens", gate::TOKEN_PATH, "Access tokens, as Docker's specification has them", Some("Refused")),
    ("signed", SIGNED_PATH, "Presigned URLs of this service's own, used as they were given", Some("Refused")),
    ("sessions", "/c/", "Sessions of browsers, as Harbor has them", Some("RefusedByApi")),
    ("service", "/", "Whether the service is well, and what it offers", None),
];

/// The first whose paths begin so.
pub(super) fn door(path: &str) -> Door {
    let [.., last] = DOORS;
    let is_hub = endpoint::Door::of(path) == endpoint::Door::Hub;
    let is_door = |(name, prefix, ..): &Door| if is_hub { *name == "hub" } else { path.starts_with(prefix) };
    DOORS.into_iter().find(is_door).unwrap_or(last)
}

/// Parts of a path, by their names in the table of endpoints.
const IN_PATHS: [(&str, &str); 23] = [
    ("name", "A repository's name, whose first segment is the project: its slashes go as they are"),
    ("uuid", "An upload's UUID"),
    ("digest", "`sha256:` or `sha512:` and hexadecimal digits in lower case"),
    ("reference", "A tag, or a digest"),
    ("asset", "A file's name, which has its hash in it"),
    ("name_or_id", "A project's name or its numeric id"),
    ("member", "A membership's id"),
    ("robot", "A robot's id"),
    ("webhook", "A webhook policy's id"),
    ("quota", "A project's id"),
    ("user", "A user's id; `current` is the caller, where the user may do it"),
    ("token", "A personal access token's id"),
    ("key", "A key's id"),
    ("upload", "An upload's UUID"),
    ("part", "A part's number"),
    ("oid", "An object's SHA-256 in hexadecimal digits in lower case"),
    ("lock", "A lock's id"),
    ("kind", "`models`, `datasets` or `spaces`"),
    ("revision", "A branch, a tag or a commit: its slashes go as `%2F`"),
    ("file", "A path in a repository: its slashes go as they are"),
    ("branch", "A branch's name: its slashes go as `%2F`"),
    ("tag", "A tag's name: its slashes go as `%2F`"),
    ("path", "A path whose first segment is the project: its slashes go as they are"),
];

pub(super) fn parameters() -> Map<String, Value> {
    let in_paths = IN_PATHS.iter().map(|(name, what)| {
        let schema = json!({ "type": "string" });
        let parameter =
            json!({ "name": name, "in": "path", "required": true, "description": what, "schema": schema });
        ((*name).to_owned(), parameter)
    });
    let is_name = json!({
        "name": IS_NAME.as_str(),
        "in": "header",
        "description": "`true`: a name made of digits is a name",
        "schema": { "type": "boolean" },
    });
    in_paths.chain([("is_name".to_owned(), is_name)]).collect()
}

const HEADERS: [(&str, &str); 35] = [
    ("Accept-Ranges", "`bytes`"),
    ("Content-Range", "Which bytes these are, and of how many"),
    ("Docker-Content-Digest", "The digest of what is there"),
    ("Docker-Upload-UUID", "As `Upload-UUID`"),
    ("Docker-Upload-Location", "Where the next part of an upload is asked for"),
    ("ETag", "The digest in quotes; of a part, what the store calls it"),
    ("LFS-Authenticate", "As `WWW-Authenticate`, where git-lfs looks for it"),
    ("Link", "The next page, with `rel=\"next\"`"),
    ("Location", "Where it is, or goes on"),
    ("OCI-Chunk-Min-Length", "Shorter chunks cost a detour, in bytes"),
    ("OCI-Subject", "The digest that the manifest refers to"),
    ("OCI-Tag", "Once for each `tag`"),
    ("Preference-Applied", "`respond-async`"),
    ("Range", "`0-<last byte>` of what has arrived"),
    ("Retry-After", "When to try again, in seconds: with 429 and 503"),
    ("Set-Cookie", "What a browser keeps, and no script reads"),
    ("Tus-Checksum-Algorithm", "What a chunk's checksum may be"),
    ("Tus-Extension", "What the server can do beside the core of tus"),
    ("Tus-Max-Size", "The most bytes of an upload"),
    ("Tus-Resumable", "`1.0.0`"),
    ("Tus-Version", "`1.0.0`"),
    ("Upload-Defer-Length", "`1`, where the length is not told yet"),
    ("Upload-Expires", "Until when the upload goes on, where it is not complete"),
    ("Upload-Length", "Of the whole, in bytes"),
    ("Upload-Metadata", "As it came"),
    ("Upload-Offset", "Where the next chunk goes"),
    ("Upload-UUID", "The upload's"),
    ("WWW-Authenticate", "How to sign in, and for what: with 401"),
    ("X-Error-Code", "Which of the things that a path names is not there"),
    ("X-Error-Message", "What went wrong, in a sentence"),
    ("X-Harbor-CSRF-Token", "What the session's next change has to show"),
    ("X-Linked-ETag", "The file's SHA-256, in quotes"),
    ("X-Linked-Size", "The file's size in bytes"),
    ("X-Repo-Commit", "The commit that the revision names"),
    ("X-Total-Count", "Entries on all pages"),
];

pub(super) fn headers() -> Map<String, Value> {
    let header = |(name, what): &(&str, &str)| {
        ((*name).to_owned(), json!({ "description": what, "schema": { "type": "string" } }))
    };
    HEADERS.iter().map(header).collect()
}

/// Answers that are not what was asked for.
pub(super) fn refusals() -> Value {
    let refusal = |codes: &str, field: &str, schema: &str| {
        json!({
            "description": format!("An error, whose `{field}` is one of {codes}."),
            "headers": {
                "Retry-After": refer("headers", "Retry-After"),
                "WWW-Authenticate": refer("headers", "WWW-Authenticate"),
            },
            "content": { "application/json": { "schema": refer("schemas", schema) } },
        })
    };
    let by_lfs = json!({
        "description": "An error, in a sentence.",
        "headers": {
            "Retry-After": refer("headers", "Retry-After"),
            "WWW-Authenticate": refer("headers", "WWW-Authenticate"),
            "LFS-Authenticate": refer("headers", "LFS-Authenticate"),
        },
        "content": { "application/vnd.git-lfs+json": { "schema": refer("schemas", "LfsError") } },
    });
    let by_hub = json!({
        "description": "An error, in a sentence. `X-Error-Code` is one of RepoNotFound, RevisionNotFound, EntryNotFound.",
        "headers": {
            "Retry-After": refer("headers", "Retry-After"),
            "WWW-Authenticate": refer("headers", "WWW-Authenticate"),
            "X-Error-Code": refer("headers", "X-Error-Code"),
            "X-Error-Message": refer("headers", "X-Error-Message"),
        },
        "content": { "application/json": { "schema": refer("schemas", "HubError") } },
    });
    let by_tus = json!({
        "description": "An error, in a sentence.",
        "headers": {
            "Retry-After": refer("headers", "Retry-After"),
            "Tus-Resumable": refer("headers", "Tus-Resumable"),
            "Tus-Version": refer("headers", "Tus-Version"),
            "WWW-Authenticate": refer("headers", "WWW-Authenticate"),
        },
        "content": { "text/plain": { "schema": { "type": "string" } } },
    });
    json!({
        "RefusedByTus": by_tus,
        "RefusedByHub": by_hub,
        "Refused": refusal(OCI_CODES, "code", "ErrorEnvelope"),
        "RefusedByApi": refusal(HARBOR_CODES, "code", "ErrorEnvelope"),
        "RefusedByLfs": by_lfs,
        "RefusedArtifact": refusal(MLFLOW_CODES, "error_code", "ArtifactError"),
    })
}

const OCI_CODES: &str = "BLOB_UNKNOWN, BLOB_UPLOAD_INVALID, BLOB_UPLOAD_UNKNOWN, DENIED, DIGEST_INVALID, \
    MANIFEST_BLOB_UNKNOWN, MANIFEST_INVALID, MANIFEST_UNKNOWN, NAME_INVALID, NAME_UNKNOWN, \
    PAGINATION_NUMBER_INVALID, SIZE_INVALID, TOOMANYREQUESTS, UNAUTHORIZED, UNAVAILABLE, UNKNOWN, UNSUPPORTED";
const HARBOR_CODES: &str = "BAD_REQUEST, CONFLICT, FORBIDDEN, METHOD_NOT_ALLOWED, NOT_FOUND, PRECONDITION, \
    TOO_MANY_REQUEST, UNAUTHORIZED, UNKNOWN";

const MLFLOW_CODES: &str = "ENDPOINT_NOT_FOUND, INTERNAL_ERROR, INVALID_PARAMETER_VALUE, NOT_IMPLEMENTED, \
    PERMISSION_DENIED, REQUEST_LIMIT_EXCEEDED, RESOURCE_CONFLICT, RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE, \
    UNAUTHENTICATED";

pub(super) fn security_schemes() -> Value {
    let scheme = |scheme: &str, what: &str| json!({ "type": "http", "scheme": scheme, "description": what });
    json!({
        "basic": scheme(
            "basic",
            "A user's name with a password or a personal access token, or a robot's name with its secret.",
        ),
        "bearer": scheme(
            "bearer",
            "A personal access token or one of a trusted OIDC issuer; below `/v2/` also one of `/service/token`.",
        ),
    })
}
