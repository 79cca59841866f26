//! Request ids of clients and proxies: kept where they are safe to write into a log and an answer.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id taken over, in bytes. UUIDs have 36, trace contexts 55 (W3C Trace Context, "traceparent").
const MAX_LENGTH: usize = 128;

/// The request without an id that is too long or has other characters than ids need: it gets one of ours instead. An
/// id is in every line of the log, where a megabyte would fill the disk and an escape sequence reach a terminal.
pub(super) fn without_unsafe(mut request: Request) -> Request {
    let headers = request.headers_mut();
    let mut ids = headers.get_all(REQUEST_ID).iter();
    let is_one = ids.next().is_none_or(is_safe) && ids.next().is_none();
    if !is_one {
        headers.remove(REQUEST_ID);
    }
    request
}

fn is_safe(id: &HeaderValue) -> bool {
    let is_of_ids = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=MAX_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(is_of_ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_of_letters_digits_dots_dashes_and_underscores() {
        let is_safe = |text: &[u8]| HeaderValue::from_bytes(text).is_ok_and(|id| is_safe(&id));
        for safe in
            ["a", "from-the-proxy-1", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "A_b.9"]
        {
            assert!(is_safe(safe.as_bytes()), "{safe}");
        }
        assert!(is_safe(&[b'a'; MAX_LENGTH]) && !is_safe(&[b'a'; MAX_LENGTH + 1]));
        for bad in [&b""[..], b"a b", b"a\tb", b"<b>", b"a;b", b"a\"b", b"\xc2\x9b31m", b"%1b"] {
            assert!(!is_safe(bad), "{bad:?}");
        }
    }
}
