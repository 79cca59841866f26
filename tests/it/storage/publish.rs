//! From the sealed object to the blob, and reading it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use overside::domain::digest::Algorithm;
use overside::domain::range::ByteRange;
use overside::domain::upload::{Transfer, UploadId};
use overside::storage::{Download, Storage, StorageError};

use super::{
    Case, LIFETIME, MIB, Signed, blob, content, digest_of, download, is_placed, place, read, read_range,
    sized, terms_of, uploaded,
};
use crate::support::trial::not_here;

pub fn cases() -> Vec<Case> {
    super::suite![
        other_bytes_with_the_same_md5_are_not_published,
        headers_that_the_uploader_added_are_not_published,
        placing_again_is_fine_and_leaves_the_sealed_object,
        many_placing_one_digest_at_once_publish_one_blob,
        a_blob_stays_when_its_upload_is_discarded,
        a_range_is_exactly_as_long_as_asked_for,
        a_sealed_object_that_is_gone_is_neither_read_nor_placed,
        a_blob_that_was_never_placed_is_not_there,
        the_store_says_that_it_can_be_reached,
    ]
}

async fn placing_again_is_fine_and_leaves_the_sealed_object(storage: Arc<Storage>) {
    let bytes = content(60, MIB + 1);
    let digest = digest_of(&bytes);
    let (upload, sealed) = uploaded(&storage, &bytes).await;
    for _ in 0..3 {
        place(&storage, &sealed, &digest).await.expect("it can be placed");
        assert!(read(&storage, &sealed).await.expect("the sealed object stays") == bytes);
    }
    let again =
        storage.seal(upload, &Transfer::Put, Algorithm::Sha256, false).await.expect("it can be sealed again");
    place(&storage, &again, &digest).await.expect("it can be placed again");
    assert!(download(&storage, &digest, None).await == bytes);
}

async fn many_placing_one_digest_at_once_publish_one_blob(storage: Arc<Storage>) {
    let bytes = content(61, 100_000);
    let digest = digest_of(&bytes);
    let sealed = join_all((0..8).map(|_| uploaded(&storage, &bytes))).await;
    let placed = join_all(sealed.iter().map(|(_, sealed)| place(&storage, sealed, &digest))).await;
    for placed in placed {
        placed.expect("every one of them succeeds");
    }
    for (upload, _) in sealed {
        storage.discard(upload).await.expect("it can be discarded");
    }
    assert!(is_placed(&storage, &digest, 100_000).await);
    assert!(download(&storage, &digest, None).await == bytes);
}

async fn a_blob_stays_when_its_upload_is_discarded(storage: Arc<Storage>) {
    let bytes = content(62, 100_000);
    let digest = digest_of(&bytes);
    let (upload, sealed) = uploaded(&storage, &bytes).await;
    place(&storage, &sealed, &digest).await.expect("it can be placed");
    // What a URL still writes to was sealed once more to be placed.
    let discarded = if sealed.is_exposed {
        storage.discard(upload).await
    } else {
        storage.discard_published(upload, &Transfer::Put, &sealed).await
    };
    discarded.expect("it can be discarded");
    assert_eq!(super::temporary_of(&storage, upload).await.len(), 0);
    assert!(download(&storage, &digest, None).await == bytes);
}

async fn a_range_is_exactly_as_long_as_asked_for(storage: Arc<Storage>) {
    let bytes = content(63, MIB);
    let digest = digest_of(&bytes);
    let (_, sealed) = uploaded(&storage, &bytes).await;
    place(&storage, &sealed, &digest).await.expect("it can be placed");
    for (start, end) in [(0, 1), (0, MIB), (MIB - 1, MIB), (300_000, 900_001)] {
        let range = ByteRange { start, end };
        let at = |offset| usize::try_from(offset).expect("an offset that fits in memory");
        let expected = &bytes[at(start)..at(end)];
        assert!(read_range(&storage, &sealed, range).await.expect("the range can be read") == expected);
        assert!(download(&storage, &digest, Some(range)).await == expected);
    }
    let beyond = ByteRange { start: MIB - 1, end: MIB + 1 };
    read_range(&storage, &sealed, beyond).await.expect_err("there is no byte beyond the end");
}

async fn a_sealed_object_that_is_gone_is_neither_read_nor_placed(storage: Arc<Storage>) {
    let bytes = content(64, 1000);
    let digest = digest_of(&bytes);
    let (upload, sealed) = uploaded(&storage, &bytes).await;
    storage.discard(upload).await.expect("it can be discarded");
    let gone = |error| matches!(error, StorageError::NotFound | StorageError::Precondition);
    assert!(read_range(&storage, &sealed, ByteRange { start: 0, end: 1000 }).await.is_err_and(gone));
    assert!(place(&storage, &sealed, &digest).await.is_err_and(gone));
    assert!(!is_placed(&storage, &digest, 1000).await);
}

async fn a_blob_that_was_never_placed_is_not_there(storage: Arc<Storage>) {
    let digest = digest_of(b"never placed");
    assert!(!is_placed(&storage, &digest, 12).await);
    if matches!(*storage, Storage::Filesystem(_)) {
        let missing = storage.download(&blob(&digest, 0), None, LIFETIME).await;
        assert!(matches!(missing, Err(StorageError::NotFound)));
    }
}

async fn the_store_says_that_it_can_be_reached(storage: Arc<Storage>) {
    storage.check().await.expect("the store is there");
}

/// Two blocks with one MD5 (Wang, Feng, Lai, Yu 2004, "Collisions for Hash Functions MD4, MD5, HAVAL-128 and
/// RIPEMD"): they differ in the bytes at these places by these bits.
const COLLIDING: &str = "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f89\
    55ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5b\
    d8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0\
    e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70";
const DIFFERENCES: [(usize, u8); 6] =
    [(19, 0x80), (45, 0x80), (59, 0x80), (83, 0x80), (109, 0x80), (123, 0x80)];

async fn other_bytes_with_the_same_md5_are_not_published(storage: Arc<Storage>) {
    let bytes = hex::decode(COLLIDING).expect("hexadecimal digits");
    let mut other = bytes.clone();
    for (place, bit) in DIFFERENCES {
        other[place] ^= bit;
    }
    let (bytes, other, upload) = (Bytes::from(bytes), Bytes::from(other), UploadId::generate());
    let digest = digest_of(&bytes);
    assert_ne!(digest_of(&other), digest);
    let signed = Signed::put(&storage, upload, sized(&bytes)).await;
    let etag = signed.send(&storage, &bytes).await.expect("the body is taken");
    let sealed =
        storage.seal(upload, &Transfer::Put, Algorithm::Sha256, false).await.expect("it can be sealed");
    assert!(read(&storage, &sealed).await.expect("it can be read") == bytes);
    // A bucket takes it under the same ETag, so that no condition tells the two apart.
    if let Ok(again) = signed.send(&storage, &other).await {
        assert_eq!(etag, again, "these stores' ETags are MD5s");
    }
    match place(&storage, &sealed, &digest).await {
        Ok(()) => assert!(download(&storage, &digest, None).await == bytes, "other bytes were published"),
        Err(error) => {
            assert!(matches!(error, StorageError::ChecksumMismatch), "{error:?}");
            assert!(!is_placed(&storage, &digest, bytes.len()).await);
        }
    }
}

async fn headers_that_the_uploader_added_are_not_published(storage: Arc<Storage>) {
    let (upload, bytes) = (UploadId::generate(), content(65, 5000));
    let digest = digest_of(&bytes);
    let mut signed = Signed::put(&storage, upload, terms_of(&bytes)).await;
    for (name, value) in
        [("content-encoding", "gzip"), ("content-disposition", "inline"), ("x-amz-meta-a", "b")]
    {
        signed.request.headers.push((name.to_owned(), value.to_owned()));
    }
    // A store that insists on its headers may refuse them; one that takes them must not pass them on.
    if signed.send(&storage, &bytes).await.is_err() {
        not_here("this store takes no header that was not signed");
    }
    let sealed =
        storage.seal(upload, &Transfer::Put, Algorithm::Sha256, true).await.expect("it can be sealed");
    place(&storage, &sealed, &digest).await.expect("it can be placed");
    if let Download::Url(url) =
        storage.download(&blob(&digest, 0), None, LIFETIME).await.expect("the blob can be had")
    {
        let response = crate::support::http().get(url).send().await.expect("the store answers");
        // `content-disposition` is there: as our URL wants it.
        for (name, sent) in
            [("content-encoding", "gzip"), ("content-disposition", "inline"), ("x-amz-meta-a", "b")]
        {
            assert!(response.headers().get(name).is_none_or(|value| value != sent), "{name} was published");
        }
    }
    assert!(download(&storage, &digest, None).await == bytes);
}
