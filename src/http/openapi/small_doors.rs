//! What the document says of endpoints whose front doors are a file each: health, tokens, signed URLs, and of itself.

use overside_protocol::wire::Token;
use serde_json::json;

use crate::domain::digest::Digest;
use crate::http::description::{Description, Shape, bytes, of, shaped};
use crate::http::endpoint::Endpoint;

/// None for those of other front doors.
pub(super) fn described(endpoint: Endpoint) -> Option<Description> {
    let to = Description::new;
    Some(match endpoint {
        Endpoint::Alive => to("Whether the process answers").answers(200, "It does", &[], [text()]),
        Endpoint::Ready => to("Whether database and store answer")
            .answers(200, "They do", &[], [text()])
            .answers(503, "One of them does not", &[], [text()]),
        Endpoint::OpenApi => {
            to("This document").answers(200, "OpenAPI 3.1", &[], [shaped("application/json", json!({}))])
        }
        Endpoint::Docs => {
            to("This document, for people").answers(200, "A page", &[], [shaped("text/html", json!({}))])
        }
        Endpoint::ReceivePut => signed(to("Takes a blob, as its presigned URL says")),
        Endpoint::ReceivePart => signed(to("Takes a part of a blob, as its presigned URL says")),
        Endpoint::Token => to("An access token for what the caller may do of what is asked for")
            .query::<String>("service", "The registry's name, from its challenge")
            .query::<Vec<String>>("scope", "`repository:NAME:pull,push,delete` or `registry:catalog:*`")
            .query::<i64>("ts", "Of a request that a key has signed: when, in seconds since the epoch")
            .query::<String>("nonce", "Of a request that a key has signed: what no other one has")
            .answers(200, "The token, for none of it where the caller may nothing", &[], [of::<Token>()]),
        Endpoint::TokenByForm => to("An access token, as OAuth2 asks for it")
            .takes(shaped("application/x-www-form-urlencoded", json!({
                "type": "object",
                "properties": {
                    "grant_type": { "type": "string", "enum": ["password"] },
                    "username": { "type": "string" },
                    "password": { "type": "string", "format": "password" },
                    "service": { "type": "string", "description": "The registry's name, from its challenge" },
                    "scope": { "type": "string", "description": "As in the query of `GET`, divided by spaces" },
                },
                "required": ["grant_type", "username", "password"],
            })))
            .answers(200, "The token", &[], [of::<Token>()]),
        _ => return None,
    })
}

fn signed(put: Description) -> Description {
    put.note("Each parameter is signed: the URL is the permission, for as long as it lives.")
        .needs::<i64>("expires", "In seconds since the epoch")
        .query::<u64>("length", "Of the body, in bytes")
        .query::<Digest>("digest", "Of the body")
        .needs::<String>("signature", "HMAC-SHA256 of all of it")
        .header("x-amz-checksum-sha256", "The SHA-256 in Base64, where the presigned request has it")
        .takes(bytes())
        .answers(200, "The bytes are kept", &["ETag"], [])
}

fn text() -> Shape {
    shaped("text/plain", json!({ "type": "string" }))
}
