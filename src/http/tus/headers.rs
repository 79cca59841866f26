//! What requests say in headers.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::domain::digest::Digest;
use crate::http::error::HttpError;
use crate::http::extract::header;
use crate::service::ChunkChecksum;

pub(super) const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(super) const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
pub(super) const CONCAT: HeaderName = HeaderName::from_static("upload-concat");
const CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
pub(super) const CHECKSUM_ALGORITHMS: HeaderValue = HeaderValue::from_static("sha1,sha256,sha512");
const MEDIA_TYPE: &str = "application/offset+octet-stream";
/// Longest `Upload-Metadata`, in bytes: it is kept with the session. A name, a path and a type of the longest have three.
const MAX_METADATA: usize = 4 * 1024;

/// A number of bytes.
pub(super) fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, HttpError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| text.bytes().all(|c| c.is_ascii_digit()));
    let number = text.and_then(|text| text.parse().ok());
    number
        .map(Some)
        .ok_or_else(|| HttpError::invalid(format!("{name} is a whole number of bytes, in digits")))
}

/// The upload's length; none where that is to be told later.
pub(super) fn length(headers: &HeaderMap) -> Result<Option<u64>, HttpError> {
    match (number(headers, &LENGTH)?, header(headers, &DEFER_LENGTH)) {
        (Some(length), None) => Ok(Some(length)),
        (None, Some("1")) => Ok(None),
        _ => Err(HttpError::invalid("an upload begins with Upload-Length, or with Upload-Defer-Length: 1")),
    }
}

pub(super) fn check_media_type(headers: &HeaderMap) -> Result<(), HttpError> {
    if header(headers, &CONTENT_TYPE).is_some_and(|kind| kind.trim().eq_ignore_ascii_case(MEDIA_TYPE)) {
        return Ok(());
    }
    let message = format!("send the bytes with Content-Type: {MEDIA_TYPE}");
    Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED", message))
}

pub(super) fn checksum(headers: &HeaderMap) -> Result<Option<ChunkChecksum>, HttpError> {
    let Some(value) = headers.get(CHECKSUM) else { return Ok(None) };
    let checksum = value.to_str().ok().and_then(|text| {
        let (algorithm, checksum) = text.split_once(' ')?;
        let checksum = STANDARD.decode(checksum).ok()?;
        if algorithm == "sha1" {
            return checksum.try_into().ok().map(ChunkChecksum::Sha1);
        }
        let checksum = Digest::from_bytes(&checksum)?;
        (checksum.algorithm().as_str() == algorithm).then_some(ChunkChecksum::Digest(checksum))
    });
    let wrong = "Upload-Checksum is sha1, sha256 or sha512, a space, and the checksum in Base64";
    checksum.map(Some).ok_or_else(|| HttpError::invalid(wrong))
}

/// `Upload-Metadata` as it came, and the digest that it may declare under `digest` (`sha256:…`) or `sha256`.
pub(super) fn metadata(headers: &HeaderMap) -> Result<(String, Option<Digest>), HttpError> {
    let wrong = || {
        HttpError::invalid(
            "Upload-Metadata is a list of keys, each with a space and a value in Base64, divided by commas; no key comes \
             twice",
        )
    };
    let Some(value) = headers.get(METADATA) else { return Ok((String::new(), None)) };
    let text = value.to_str().map_err(|_| wrong())?;
    if text.len() > MAX_METADATA {
        return Err(HttpError::invalid(format!("Upload-Metadata has at most {MAX_METADATA} bytes here")));
    }
    let (mut keys, mut digest) = (Vec::new(), None);
    for pair in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value = STANDARD.decode(value.trim()).map_err(|_| wrong())?;
        if key.is_empty() || keys.contains(&key) {
            return Err(wrong());
        }
        keys.push(key);
        let prefix = match key {
            "digest" => "",
            "sha256" => "sha256:",
            _ => continue,
        };
        let declared: Digest = format!("{prefix}{}", String::from_utf8_lossy(&value)).parse()?;
        if digest.replace(declared).is_some_and(|other| other != declared) {
            return Err(HttpError::invalid("Upload-Metadata has a digest and another sha256"));
        }
    }
    Ok((text.to_owned(), digest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(name: HeaderName, value: &str) -> HeaderMap {
        HeaderValue::from_str(value).map(|value| HeaderMap::from_iter([(name, value)])).unwrap_or_default()
    }

    proptest! {
        #[test]
        fn reading_any_header_never_panics(text in ".{0,80}") {
            let _ = (metadata(&of(METADATA, &text)), checksum(&of(CHECKSUM, &text)), length(&of(LENGTH, &text)));
        }
    }

    #[test]
    fn metadata_stays_as_it_came_and_may_declare_a_digest() {
        let found = |text: &str| metadata(&of(METADATA, text)).ok();
        let named = "filename YS5iaW4=,is_confidential";
        assert_eq!(found(named), Some((named.to_owned(), None)));
        assert_eq!(found(""), Some((String::new(), None)));
        let declared = format!("sha256 {}", STANDARD.encode(Digest::EMPTY.hex()));
        assert_eq!(found(&declared), Some((declared.clone(), Some(Digest::EMPTY))));
        let both = format!("{declared},digest {}", STANDARD.encode(Digest::EMPTY.to_string()));
        assert_eq!(found(&both), Some((both.clone(), Some(Digest::EMPTY))));
        for wrong in
            ["a YQ==,a YQ==", "a !", ",", "digest YQ==", "a  b c", &format!("{declared},digest YQ==")]
        {
            assert_eq!(found(wrong), None, "{wrong}");
        }
        assert_eq!(found(&format!("a {}", "YWFh".repeat(2000))), None);
    }

    #[test]
    fn a_checksum_is_of_the_algorithm_that_it_names() {
        let found = |text: &str| checksum(&of(CHECKSUM, text)).ok().flatten();
        let empty = STANDARD.encode(Digest::EMPTY.as_bytes());
        assert_eq!(found(&format!("sha256 {empty}")), Some(ChunkChecksum::Digest(Digest::EMPTY)));
        assert_eq!(found(&format!("sha1 {}", STANDARD.encode([7; 20]))), Some(ChunkChecksum::Sha1([7; 20])));
        for wrong in
            [format!("sha512 {empty}"), format!("sha1 {empty}"), "sha256".to_owned(), "sha256 !".to_owned()]
        {
            assert!(checksum(&of(CHECKSUM, &wrong)).is_err(), "{wrong}");
        }
    }
}
