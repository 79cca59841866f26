//! Schemas of types that are texts or numbers on the wire, for OpenAPI; those of objects are derived where they are.

use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::digest::Digest;
use crate::media_type::MediaType;
use crate::midstate::Midstate;
use crate::part::{MAX_PART_COUNT, PartNumber};

fn text(pattern: &str, description: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    text.description(Some(description)).into()
}

impl PartialSchema for Digest {
    fn schema() -> RefOr<Schema> {
        text("^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$", "The hash of some content: what names it.")
    }
}

impl PartialSchema for MediaType {
    fn schema() -> RefOr<Schema> {
        text("^[^/]+/[^/]+$", "A media type without parameters (RFC 6838), in lower case.")
    }
}

impl PartialSchema for Midstate {
    fn schema() -> RefOr<Schema> {
        text("^[0-9a-fA-F]{64}$", "The words H0 to H7 of SHA-256, most significant first.")
    }
}

impl PartialSchema for PartNumber {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
        number.maximum(Some(MAX_PART_COUNT)).description(Some("A part's number.")).into()
    }
}

impl ToSchema for Digest {}
impl ToSchema for MediaType {}
impl ToSchema for Midstate {}
impl ToSchema for PartNumber {}
