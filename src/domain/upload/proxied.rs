//! Bytes that come through this server, chunk after chunk, and what they are hashed with on the way.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::transition::wrong_mode;
use super::{Lease, Refusal, State, Transfer, Upload};
use crate::domain::digest::Digest;
use crate::domain::hash::Hasher;

/// What of a proxied upload is safely stored. On S3 whole parts of `part_size` went out as a multipart
/// upload and the rest, always shorter than a part, waits in a tail object.
#[derive(Debug, Clone, PartialEq)]
pub struct Proxied {
    /// Bytes stored so far: the offset of the next chunk.
    pub received: u64,
    /// The hash after `received` bytes; it tells its algorithm.
    pub hash_state: Vec<u8>,
    pub part_size: u64,
    pub store_upload_id: Option<String>,
    /// Names the tail object. A new one for every append: a request that lost its lease cannot overwrite it.
    pub tail_id: Option<Uuid>,
}

impl Proxied {
    /// Whole parts stored.
    #[must_use]
    pub const fn part_count(&self) -> u64 {
        self.received / self.part_size
    }

    /// The digest of the bytes received so far, by the algorithm they were hashed with.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        Hasher::resume(&self.hash_state).ok().map(Hasher::finish)
    }

    /// Bytes in the tail object.
    #[must_use]
    pub const fn tail_size(&self) -> u64 {
        self.received % self.part_size
    }
}

impl Upload {
    /// The bytes will come through this server; takes the lease for the first or the next append. With the last
    /// one it is known what the `whole` is to be: where that is also the first, it is hashed to tell just that.
    ///
    /// # Errors
    ///
    /// [`Refusal::Appending`] while another append's lease lives, [`Refusal::WrongMode`] where URLs carry the bytes,
    /// [`Refusal::Redeclared`] where the session was declared with another digest, and those of [`Self::active`].
    pub fn into_append(
        mut self,
        part_size: u64,
        whole: Option<Digest>,
        lease: Lease,
        now: DateTime<Utc>,
    ) -> Result<Self, Refusal> {
        let mut proxied = match self.active(now)? {
            State::Pending { .. } => Proxied {
                received: 0,
                hash_state: Vec::new(),
                part_size,
                store_upload_id: None,
                tail_id: None,
            },
            State::Uploading { append_lease: Some(held), .. } if held.is_live(now) => {
                return Err(Refusal::Appending);
            }
            State::Uploading { transfer: Transfer::Proxied(proxied), .. } => proxied.clone(),
            state => return Err(wrong_mode(state)),
        };
        // Before a byte of it is read.
        whole.map_or(Ok(()), |whole| self.check_digest(whole))?;
        if proxied.received == 0 {
            self.algorithm = whole.map_or(self.algorithm, |whole| whole.algorithm());
            proxied.hash_state = Hasher::new(self.algorithm).save();
        }
        Ok(self.with(State::Uploading { transfer: Transfer::Proxied(proxied), append_lease: Some(lease) }))
    }

    /// The client says how many bytes there will be.
    ///
    /// # Errors
    ///
    /// [`Refusal::Redeclared`] for another number than was told before, and those of [`Self::active`].
    pub fn with_size(mut self, size: u64, now: DateTime<Utc>) -> Result<Self, Refusal> {
        self.active(now)?;
        self.declare(Some(size), None)?;
        Ok(self)
    }

    /// Whoever appends at `offset` is to give the lease back by `end`, which is sooner than it was promised: by that the
    /// holder knows.
    #[must_use]
    pub fn give_notice(mut self, end: DateTime<Utc>, offset: u64) -> Self {
        if let State::Uploading { append_lease: Some(lease), transfer: Transfer::Proxied(stored) } =
            &mut self.state
            && stored.received == offset
        {
            lease.expires_at = end.min(lease.expires_at - TimeDelta::milliseconds(1));
        }
        self
    }

    /// Records what an append stored and gives the lease back. With the last chunk it declares the `whole`, which
    /// is how [`Self::has_received`] knows it again.
    ///
    /// # Errors
    ///
    /// [`Refusal::LeaseLost`]: `owner` does not hold the append's lease any more. [`Refusal::Redeclared`]: `whole` is not the
    /// digest that was declared.
    pub fn appended(mut self, owner: Uuid, stored: Proxied, whole: Option<Digest>) -> Result<Self, Refusal> {
        match &self.state {
            State::Uploading { append_lease: Some(lease), .. } if lease.owner == owner => {
                self.declare(None, whole)?;
                Ok(self.with(State::Uploading { transfer: Transfer::Proxied(stored), append_lease: None }))
            }
            _ => Err(Refusal::LeaseLost),
        }
    }

    /// Whether the last chunk of `whole` is here already, as after a crash between its append and the claim.
    #[must_use]
    pub fn has_received(&self, whole: Digest) -> bool {
        let Some(Transfer::Proxied(stored)) = self.state.transfer() else { return false };
        match stored.digest() {
            Some(streamed) if streamed.algorithm() == whole.algorithm() => streamed == whole,
            // The hash does not tell. A digest that had been declared at the beginning would be what it tells: this
            // one came with the last chunk.
            Some(_) => self.declared_digest == Some(whole),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Algorithm;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap_or_default()
    }

    const OWNER: Uuid = Uuid::from_u128(1);

    fn lease() -> Lease {
        Lease { owner: OWNER, expires_at: at(9) }
    }

    fn begun(declared: Option<Digest>) -> Upload {
        let name = "team/app".parse().unwrap_or_else(|e| panic!("{e}"));
        Upload::begin(name, declared, serde_json::Value::Null, at(0), at(100))
    }

    fn sha512(bytes: &[u8]) -> Digest {
        Hasher::digest(Algorithm::Sha512, bytes)
    }

    fn stored(upload: &Upload) -> Proxied {
        match upload.state.transfer() {
            Some(Transfer::Proxied(stored)) => stored.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Appends `bytes`, the last of `whole` if that is given.
    fn append(upload: Upload, bytes: &[u8], whole: Option<Digest>) -> Result<Upload, Refusal> {
        let leased = upload.into_append(8, whole, lease(), at(1))?;
        let before = stored(&leased);
        let mut hasher = Hasher::resume(&before.hash_state).unwrap_or_else(|e| panic!("{e}"));
        hasher.update(bytes);
        let received = before.received + bytes.len() as u64;
        leased.appended(OWNER, Proxied { received, hash_state: hasher.save(), ..before }, whole)
    }

    fn digest(upload: &Upload) -> Option<Digest> {
        stored(upload).digest()
    }

    #[test]
    fn bytes_are_hashed_as_was_said_at_the_beginning() -> Result<(), Refusal> {
        let plain = append(begun(None), b"ab", None)?;
        assert_eq!(digest(&plain), Some(Hasher::digest(Algorithm::Sha256, b"ab")));
        let declared = append(begun(Some(sha512(b"ab"))), b"a", None)?;
        assert_eq!(digest(&append(declared, b"b", None)?), Some(sha512(b"ab")));
        let announced = Upload { algorithm: Algorithm::Sha512, ..begun(None) };
        assert_eq!(digest(&append(announced, b"ab", None)?), Some(sha512(b"ab")));
        Ok(())
    }

    #[test]
    fn the_only_chunk_is_hashed_as_its_digest_says() -> Result<(), Refusal> {
        let whole = append(begun(None), b"ab", Some(sha512(b"ab")))?;
        assert_eq!((digest(&whole), whole.algorithm), (Some(sha512(b"ab")), Algorithm::Sha512));
        // Also where an earlier request brought nothing.
        let retried = append(append(begun(None), b"", None)?, b"ab", Some(sha512(b"ab")))?;
        assert_eq!(digest(&retried), Some(sha512(b"ab")));
        // Not where some of it has been hashed already.
        let late = append(append(begun(None), b"a", None)?, b"b", Some(sha512(b"ab")))?;
        assert_eq!(digest(&late), Some(Hasher::digest(Algorithm::Sha256, b"ab")));
        assert_eq!(late.algorithm, Algorithm::Sha256);
        Ok(())
    }

    #[test]
    fn a_last_chunk_that_is_here_is_known_again_whatever_it_was_hashed_with() -> Result<(), Refusal> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let whole = Hasher::digest(algorithm, b"ab");
            let first = append(begun(None), b"a", None)?;
            assert!(!first.has_received(whole));
            let last = append(first, b"b", Some(whole))?;
            assert!(last.has_received(whole) && !last.has_received(sha512(b"other")));
            // The first of two chunks is not the last because the digest was declared before.
            let declared = append(begun(Some(whole)), b"a", None)?;
            assert!(!declared.has_received(whole));
        }
        assert!(!begun(Some(sha512(b""))).has_received(sha512(b"")));
        Ok(())
    }

    #[test]
    fn a_last_chunk_of_something_else_than_was_declared_is_refused_before_it_is_read() {
        let upload = begun(Some(sha512(b"ab")));
        let other = Hasher::digest(Algorithm::Sha256, b"ab");
        let refused = upload.into_append(8, Some(other), lease(), at(1));
        assert_eq!(refused, Err(Refusal::Redeclared("digest")));
    }
}
