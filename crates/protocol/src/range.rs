//! Byte ranges: `Range` of a download (RFC 9110 §14), `Content-Range` of a chunk and `Range` of an upload (OCI
//! distribution 1.1.1).

/// Bytes `start..end` of a blob, `end` excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    pub start: u64,
    pub end: u64,
}

impl ByteRange {
    /// In bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.end - self.start
    }
}

/// What a `Range` header asks of a representation of a known size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeRequest {
    /// No range, a unit we do not know, several ranges or a malformed header: RFC 9110 lets a server ignore it. Also
    /// the end of something empty, which is all of it (§14.1.2).
    Whole,
    Part(ByteRange),
    /// 416: nothing of it exists, or it ends before it begins, which stores refuse as well.
    Unsatisfiable,
}

impl RangeRequest {
    /// Reads a `Range` header for a blob of `size` bytes.
    #[must_use]
    pub fn parse(header: &str, size: u64) -> Self {
        let Some((first, last)) = header.strip_prefix("bytes=").and_then(|spec| spec.trim().split_once('-'))
        else {
            return Self::Whole;
        };
        let range = match (decimal(first), decimal(last)) {
            (Some(first), Some(last)) => ByteRange { start: first, end: last.saturating_add(1).min(size) },
            (Some(first), None) if last.is_empty() => ByteRange { start: first, end: size },
            (None, Some(1..)) if first.is_empty() && size == 0 => return Self::Whole,
            (None, Some(suffix)) if first.is_empty() => {
                ByteRange { start: size.saturating_sub(suffix), end: size }
            }
            _ => return Self::Whole,
        };
        if range.start < range.end { Self::Part(range) } else { Self::Unsatisfiable }
    }
}

/// Reads a chunk's `Content-Range`: `<first>-<last>` as OCI writes it, or RFC 9110's `bytes <first>-<last>/<size|*>`.
#[must_use]
pub fn parse_content_range(header: &str) -> Option<ByteRange> {
    let spec = header.trim();
    let spec = spec.strip_prefix("bytes ").or_else(|| spec.strip_prefix("bytes=")).unwrap_or(spec);
    let spec = spec.split_once('/').map_or(spec, |(range, _)| range);
    let (first, last) = spec.split_once('-')?;
    let (first, last) = (decimal(first)?, decimal(last)?);
    (first <= last).then(|| Some(ByteRange { start: first, end: last.checked_add(1)? }))?
}

/// How many bytes an upload has whose `Range` is `0-99` or `bytes=0-99`. `0-0` is what registries say of the first
/// byte, and of nothing too: it is taken for nothing.
#[must_use]
pub fn parse_upload_range(header: &str) -> Option<u64> {
    let (first, last) = header.trim_start_matches("bytes=").split_once('-')?;
    match (decimal(first.trim())?, decimal(last.trim())?) {
        (0, 0) => Some(0),
        (0, last) => last.checked_add(1),
        _ => None,
    }
}

fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_satisfied_range_lies_within_the_blob(header in "bytes=[0-9]{0,20}-[0-9]{0,20}", size: u64) {
            if let RangeRequest::Part(range) = RangeRequest::parse(&header, size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }

        #[test]
        fn parsing_any_header_never_panics(header in ".{0,60}", size: u64) {
            let _ = RangeRequest::parse(&header, size);
            let _ = parse_content_range(&header);
            let _ = parse_upload_range(&header);
        }
    }

    #[test]
    fn the_forms_of_rfc_9110() {
        let part = |start, end| RangeRequest::Part(ByteRange { start, end });
        assert_eq!(RangeRequest::parse("bytes=0-0", 10), part(0, 1));
        assert_eq!(RangeRequest::parse("bytes=3-", 10), part(3, 10));
        assert_eq!(RangeRequest::parse("bytes=-4", 10), part(6, 10));
        assert_eq!(RangeRequest::parse("bytes=-40", 10), part(0, 10));
        assert_eq!(RangeRequest::parse("bytes=5-99", 10), part(5, 10));
        assert_eq!(RangeRequest::parse("bytes=10-", 10), RangeRequest::Unsatisfiable);
        assert_eq!(RangeRequest::parse("bytes=-0", 10), RangeRequest::Unsatisfiable);
        assert_eq!(RangeRequest::parse("bytes=5-4", 10), RangeRequest::Unsatisfiable);
        assert_eq!(RangeRequest::parse("bytes=-5", 0), RangeRequest::Whole);
        assert_eq!(RangeRequest::parse("bytes=-0", 0), RangeRequest::Unsatisfiable);
        assert_eq!(RangeRequest::parse("bytes=0-", 0), RangeRequest::Unsatisfiable);
        for ignored in ["bytes=a-b", "bytes=0-1,3-4", "items=0-1", "bytes", "bytes=+1-2"] {
            assert_eq!(RangeRequest::parse(ignored, 10), RangeRequest::Whole, "{ignored}");
        }
    }

    #[test]
    fn a_chunk_says_where_it_goes_in_either_form() {
        let range = Some(ByteRange { start: 5, end: 10 });
        for form in ["5-9", "bytes 5-9/10", "bytes 5-9/*", "bytes=5-9"] {
            assert_eq!(parse_content_range(form), range, "{form}");
        }
        for bad in ["", "5", "9-5", "-5", "5-", "a-b", "0-18446744073709551615"] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }
    #[test]
    fn an_upload_has_one_byte_more_than_its_last_except_at_the_beginning() {
        assert_eq!(parse_upload_range("0-0"), Some(0));
        assert_eq!(parse_upload_range("0-9"), Some(10));
        assert_eq!(parse_upload_range("bytes=0-9"), Some(10));
        for other in ["", "5-9", "0-", "-9", "0-18446744073709551615", "a-b"] {
            assert_eq!(parse_upload_range(other), None, "{other}");
        }
    }
}
