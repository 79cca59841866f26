//! The presigned parts of an upload as JSON, rendered in pieces while the client reads them: ten thousand signed
//! URLs are several megabytes that are never in memory at once.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt, stream};
use overside_protocol::wire;
use serde::Serialize;

use crate::domain::part::PartPlan;
use crate::http::error::HttpError;
use crate::http::oci::Answer;
use crate::http::origin::Origin;
use crate::service::{ArrivedPart, SignedPart, SignedParts};

/// Parts in one piece: a tenth of a millisecond's work, and tens of kilobytes, between two looks at what else there
/// is to do.
const PARTS_IN_PIECE: usize = 100;
/// Parts that arrived are some 90 bytes, as in `{"part_number":10000,"size":5368709120,"etag":"\"<32 digits>\""},`, and
/// cost no hash: a piece is of the size of one with signed parts.
const RECEIVED_IN_PIECE: usize = 1000;
/// A signed part without a session token in JSON, rounded up: a piece mostly grows no further.
const PART_LENGTH: usize = 1024;

/// A [`wire::PresignedUpload::Multipart`], field by field.
pub(super) fn render(
    plan: PartPlan,
    parts: SignedParts,
    received: Vec<ArrivedPart>,
    origin: Option<Origin>,
) -> Answer {
    let mut rendering = Rendering {
        plan,
        origin,
        expires_at: parts.expires_at(),
        parts,
        received: received.into_iter(),
        next: Next::Head,
        comma: false,
    };
    let first = rendering.piece().map_err(|error| {
        HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", format!("the answer's JSON: {error}"))
    })?;
    let body = match (first, &rendering.next) {
        // An answer of ordinary size says its length.
        (Some(whole), Next::Nothing) => Body::from(whole),
        (first, _) => {
            let first = stream::iter(first.map(|piece| Ok(Bytes::from(piece))));
            Body::from_stream(first.chain(rendering.pieces()))
        }
    };
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

struct Rendering {
    plan: PartPlan,
    origin: Option<Origin>,
    expires_at: DateTime<Utc>,
    parts: SignedParts,
    received: std::vec::IntoIter<ArrivedPart>,
    next: Next,
    /// Whether the list that is being written has an item already.
    comma: bool,
}

/// Where the next piece begins.
#[derive(PartialEq, Eq)]
enum Next {
    Head,
    Parts,
    Received,
    Nothing,
}

impl Rendering {
    fn pieces(self) -> impl Stream<Item = serde_json::Result<Bytes>> {
        stream::try_unfold(self, |mut rendering| async move {
            // Signing is all processor time: let other requests through.
            tokio::task::yield_now().await;
            Ok(rendering.piece()?.map(|piece| (Bytes::from(piece), rendering)))
        })
    }

    /// The next piece; none after the last.
    fn piece(&mut self) -> serde_json::Result<Option<Vec<u8>>> {
        if self.next == Next::Nothing {
            return Ok(None);
        }
        let mut json = Vec::with_capacity(self.parts.len().clamp(1, PARTS_IN_PIECE) * PART_LENGTH);
        if self.next == Next::Head {
            let (size, count) = (self.plan.part_size(), self.plan.part_count());
            let head = format!(r#"{{"mode":"multipart","part_size":{size},"part_count":{count},"parts":["#);
            json.extend_from_slice(head.as_bytes());
            self.next = Next::Parts;
        }
        if self.next == Next::Parts {
            for signed in self.parts.by_ref().take(PARTS_IN_PIECE) {
                item(&mut json, &mut self.comma, &part(signed, self.origin.as_ref()))?;
            }
            if self.parts.len() > 0 {
                return Ok(Some(json));
            }
            json.extend_from_slice(br#"],"received":["#);
            (self.next, self.comma) = (Next::Received, false);
        }
        for ArrivedPart { number, size, etag } in self.received.by_ref().take(RECEIVED_IN_PIECE) {
            item(
                &mut json,
                &mut self.comma,
                &wire::ReceivedPart { part_number: number, size, etag: Some(etag) },
            )?;
        }
        if self.received.len() == 0 {
            json.extend_from_slice(br#"],"expires_at":"#);
            serde_json::to_writer(&mut json, &self.expires_at)?;
            json.push(b'}');
            self.next = Next::Nothing;
        }
        Ok(Some(json))
    }
}

fn item(json: &mut Vec<u8>, comma: &mut bool, item: &impl Serialize) -> serde_json::Result<()> {
    if std::mem::replace(comma, true) {
        json.push(b',');
    }
    serde_json::to_writer(json, item)
}

fn part(SignedPart { part, request }: SignedPart, origin: Option<&Origin>) -> wire::PresignedPart {
    wire::PresignedPart {
        part_number: part.number,
        offset: part.offset,
        size: part.size,
        presigned_url: Origin::complete(origin, request.url),
        headers: request.headers.into_iter().collect(),
    }
}
