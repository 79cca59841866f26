//! Rows of `blob_upload_session` and their way to and from [`Upload`].

use std::fmt::Display;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use super::{DbError, corrupt};
use crate::domain::digest::Digest;
use crate::domain::part::{PartNumber, PartPlan};
use crate::domain::upload::{
    Claim, Failure, Lease, Progress, Proxied, State, Status, Transfer, TransferMode, Upload, UploadId,
};

const TABLE: &str = "blob_upload_session";

/// Stands for the digest of what is finalized before that is known: a value, so that one index has all that are
/// being finalized, and as short as no digest.
const TO_BE_COMPUTED: &[u8] = &[0];

/// `SELECT` of the columns below, with the rest of the statement. Named, because PostgreSQL refuses a prepared
/// `SELECT *` once a newer replica has added a column.
macro_rules! select_upload {
    ($rest:literal) => {
        concat!(
            "SELECT upload_uuid, repository_name, user_id, status, transfer_mode, digest_algorithm, declared_digest,
                claimed_digest, final_digest, size, last_part, part_size, store_upload_id, received_offset, hash_state, tail_id, lease_owner,
                lease_expires_at, failure_reason, metadata, reserved, revision, progress_phase, progress_done,
                progress_total, created_at, updated_at, expires_at
            FROM blob_upload_session ",
            $rest
        )
    };
}
pub(super) use select_upload;

#[derive(Debug, FromRow)]
pub(super) struct UploadRow {
    upload_uuid: Uuid,
    repository_name: String,
    user_id: Option<String>,
    status: String,
    transfer_mode: Option<String>,
    digest_algorithm: String,
    declared_digest: Option<Digest>,
    claimed_digest: Option<Vec<u8>>,
    final_digest: Option<Digest>,
    size: Option<i64>,
    last_part: Option<i64>,
    part_size: Option<i64>,
    store_upload_id: Option<String>,
    received_offset: i64,
    hash_state: Option<Vec<u8>>,
    tail_id: Option<Uuid>,
    lease_owner: Option<Uuid>,
    lease_expires_at: Option<DateTime<Utc>>,
    failure_reason: Option<String>,
    metadata: serde_json::Value,
    reserved: i64,
    revision: i64,
    progress_phase: Option<String>,
    progress_done: Option<i64>,
    progress_total: Option<i64>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// The columns that a transition may change, as the row has them.
#[derive(Debug)]
pub(super) struct StateColumns {
    pub status: &'static str,
    pub transfer_mode: Option<&'static str>,
    pub digest_algorithm: &'static str,
    pub declared_digest: Option<Digest>,
    pub claimed_digest: Option<Vec<u8>>,
    pub final_digest: Option<Digest>,
    pub size: Option<i64>,
    pub part_size: Option<i64>,
    pub store_upload_id: Option<String>,
    pub received_offset: i64,
    pub hash_state: Option<Vec<u8>>,
    pub tail_id: Option<Uuid>,
    pub lease_owner: Option<Uuid>,
    pub lease_expires_at: Option<DateTime<Utc>>,
    pub failure_reason: Option<String>,
}

impl From<&Upload> for StateColumns {
    fn from(upload: &Upload) -> Self {
        let state = &upload.state;
        let mut columns = Self {
            status: state.status().as_str(),
            transfer_mode: state.transfer().map(|transfer| transfer.mode().as_str()),
            digest_algorithm: upload.algorithm.as_str(),
            declared_digest: upload.declared_digest,
            claimed_digest: None,
            final_digest: None,
            size: upload.size.map(signed),
            part_size: None,
            store_upload_id: None,
            received_offset: 0,
            hash_state: None,
            tail_id: None,
            lease_owner: state.lease().map(|lease| lease.owner),
            lease_expires_at: state.lease().map(|lease| lease.expires_at),
            failure_reason: None,
        };
        match state.transfer() {
            Some(Transfer::Multipart { plan, store_upload_id }) => {
                columns.part_size = Some(signed(plan.part_size()));
                columns.store_upload_id = Some(store_upload_id.clone());
            }
            Some(Transfer::OpenMultipart { store_upload_id }) => {
                columns.store_upload_id = Some(store_upload_id.clone());
            }
            Some(Transfer::Proxied(stored)) => {
                columns.part_size = Some(signed(stored.part_size));
                columns.store_upload_id.clone_from(&stored.store_upload_id);
                columns.received_offset = signed(stored.received);
                columns.hash_state = Some(stored.hash_state.clone());
                columns.tail_id = stored.tail_id;
            }
            Some(Transfer::Put | Transfer::Redirected) | None => {}
        }
        match state {
            State::Finalizing { claim: Claim::Digest(digest), .. } => {
                columns.claimed_digest = Some(digest.as_bytes().to_vec());
            }
            State::Finalizing { claim: Claim::Computed(_), .. } => {
                columns.claimed_digest = Some(TO_BE_COMPUTED.to_vec());
            }
            State::Completed { digest, .. } => columns.final_digest = Some(*digest),
            State::Failed { failure } => columns.failure_reason = Some(failure.to_string()),
            // What the store was asked for, which says that it was asked.
            State::Pending { store_asked: true } => {
                columns.transfer_mode = Some(TransferMode::Multipart.as_str());
            }
            _ => {}
        }
        columns
    }
}

/// Sizes are bounded by 48.8 TiB long before this saturates.
pub(super) fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

impl TryFrom<UploadRow> for Upload {
    type Error = DbError;

    fn try_from(row: UploadRow) -> Result<Self, DbError> {
        let size = row.size.map(|size| row.unsigned("size", size)).transpose()?;
        let status = row.parse("status", &row.status)?;
        let state = match status {
            Status::Pending => State::Pending { store_asked: row.transfer_mode.is_some() },
            Status::Uploading => {
                State::Uploading { transfer: row.transfer(size)?, append_lease: row.lease() }
            }
            Status::Finalizing => State::Finalizing {
                transfer: row.transfer(size)?,
                claim: row.claim()?,
                lease: row.present("lease_owner", row.lease())?,
            },
            Status::Completed => State::Completed {
                digest: row.present("final_digest", row.final_digest)?,
                size: row.present("size", size)?,
            },
            Status::Failed => State::Failed {
                failure: row
                    .parse::<Failure>("failure_reason", row.failure_reason.as_deref().unwrap_or_default())?,
            },
            Status::Aborted => State::Aborted,
            Status::Expired => State::Expired,
        };
        let reserved = row.unsigned("reserved", row.reserved)?;
        let last_part = row.last_part()?;
        Ok(Self {
            id: UploadId::from_uuid(row.upload_uuid),
            repository: row.parse("repository_name", &row.repository_name)?,
            algorithm: row.parse("digest_algorithm", &row.digest_algorithm)?,
            declared_digest: row.declared_digest,
            progress: row.progress(status)?,
            user_id: row.user_id,
            size,
            last_part,
            created_at: row.created_at,
            updated_at: row.updated_at,
            expires_at: row.expires_at,
            reserved,
            metadata: row.metadata,
            revision: row.revision,
            state,
        })
    }
}

impl UploadRow {
    fn transfer(&self, size: Option<u64>) -> Result<Transfer, DbError> {
        let mode = self.present("transfer_mode", self.transfer_mode.as_deref())?;
        let part_size = || self.unsigned("part_size", self.present("part_size", self.part_size)?);
        Ok(match self.parse("transfer_mode", mode)? {
            TransferMode::Put => Transfer::Put,
            TransferMode::Redirected => Transfer::Redirected,
            TransferMode::Multipart if self.part_size.is_none() => Transfer::OpenMultipart {
                store_upload_id: self.present("store_upload_id", self.store_upload_id.clone())?,
            },
            TransferMode::Multipart => Transfer::Multipart {
                plan: PartPlan::restore(self.present("size", size)?, part_size()?)
                    .map_err(|error| self.corrupt("part_size", &error))?,
                store_upload_id: self.present("store_upload_id", self.store_upload_id.clone())?,
            },
            TransferMode::Proxied => Transfer::Proxied(Proxied {
                received: self.unsigned("received_offset", self.received_offset)?,
                hash_state: self.present("hash_state", self.hash_state.clone())?,
                part_size: match part_size()? {
                    0 => return Err(self.corrupt("part_size", &"is zero")),
                    size => size,
                },
                store_upload_id: self.store_upload_id.clone(),
                tail_id: self.tail_id,
            }),
        })
    }

    fn last_part(&self) -> Result<Option<PartNumber>, DbError> {
        let Some(last) = self.last_part else { return Ok(None) };
        let number = PartNumber::new(self.unsigned("last_part", last)?);
        number.map(Some).map_err(|error| self.corrupt("last_part", &error))
    }

    fn claim(&self) -> Result<Claim, DbError> {
        let claimed = self.present("claimed_digest", self.claimed_digest.as_deref())?;
        if claimed == TO_BE_COMPUTED {
            return Ok(Claim::Computed(self.parse("digest_algorithm", &self.digest_algorithm)?));
        }
        let digest = Digest::from_bytes(claimed).map(Claim::Digest);
        digest.ok_or_else(|| self.corrupt("claimed_digest", &"is as long as no digest"))
    }

    /// What was told of a finalize that has ended says nothing any more.
    fn progress(&self, status: Status) -> Result<Option<Progress>, DbError> {
        let (Status::Finalizing, Some(phase)) = (status, &self.progress_phase) else { return Ok(None) };
        let bytes = |column, value: Option<i64>| self.unsigned(column, self.present(column, value)?);
        Ok(Some(Progress {
            phase: self.parse("progress_phase", phase)?,
            done: bytes("progress_done", self.progress_done)?,
            total: bytes("progress_total", self.progress_total)?,
        }))
    }

    fn lease(&self) -> Option<Lease> {
        Some(Lease { owner: self.lease_owner?, expires_at: self.lease_expires_at? })
    }

    fn parse<T>(&self, column: &'static str, text: &str) -> Result<T, DbError>
    where
        T: FromStr,
        T::Err: Display,
    {
        text.parse().map_err(|error: T::Err| self.corrupt(column, &error))
    }

    fn present<T>(&self, column: &'static str, value: Option<T>) -> Result<T, DbError> {
        value.ok_or_else(|| self.corrupt(column, &"is missing in this state"))
    }

    fn unsigned(&self, column: &'static str, value: i64) -> Result<u64, DbError> {
        u64::try_from(value).map_err(|error| self.corrupt(column, &error))
    }

    fn corrupt(&self, column: &'static str, reason: &dyn Display) -> DbError {
        corrupt(TABLE, column, &self.upload_uuid, reason)
    }
}
