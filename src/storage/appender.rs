//! A proxied upload being written, on whichever backend it is.

use bytes::Bytes;

use super::{Appended, Result, filesystem, s3};

/// Takes the bytes of one append, in order.
#[derive(Debug)]
pub enum Appender {
    S3(Box<s3::append::S3Appender>),
    Filesystem(filesystem::append::FileAppender),
}

impl Appender {
    /// Waits until another piece can be taken. Nothing is lost when this is given up half-way.
    ///
    /// # Errors
    ///
    /// The store refused a part or a piece that went out before.
    pub async fn ready(&mut self) -> Result<()> {
        match self {
            Self::S3(appender) => appender.ready().await,
            Self::Filesystem(_) => Ok(()),
        }
    }

    /// Ends when this append holds memory that others have waited for long enough: then [`Self::spill`] it.
    pub async fn stalled(&self) {
        match self {
            Self::S3(appender) => appender.stalled().await,
            Self::Filesystem(_) => std::future::pending().await,
        }
    }

    /// Puts what is held in memory into the store. The append goes on as if nothing had happened.
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Full`: the store did not take it, and the append has failed.
    pub async fn spill(&mut self) -> Result<()> {
        match self {
            Self::S3(appender) => appender.spill().await,
            Self::Filesystem(_) => Ok(()),
        }
    }

    /// Takes a piece; waits like [`Self::ready`] where it is more than that promised.
    ///
    /// # Errors
    ///
    /// As [`Self::ready`]; on files `Full` where the disk has no room.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match self {
            Self::S3(appender) => appender.write(bytes).await,
            Self::Filesystem(appender) => appender.write(bytes).await,
        }
    }

    /// Makes everything written durable. An appender dropped instead leaves the upload at its old offset.
    ///
    /// # Errors
    ///
    /// The store did not take the rest; the upload stands at its old offset.
    pub async fn finish(self) -> Result<Appended> {
        match self {
            Self::S3(appender) => appender.finish().await,
            Self::Filesystem(appender) => appender.finish().await,
        }
    }

    /// Takes back what was written, and leaves the upload at its old offset. Only tidiness: the sweep finds what stays, but
    /// not before the upload has ended, and a client may have chunk after chunk dropped.
    pub async fn discard(self) {
        match self {
            Self::S3(appender) => appender.discard().await,
            Self::Filesystem(appender) => drop(appender),
        }
    }
}
