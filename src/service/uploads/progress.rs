//! What a finalize is at, for whoever waits: counted here, told to the database with each renewal of its lease.
//! And whose it is, as everybody's finalizes share what proves them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::upload::{Phase, Progress};

/// Shared between the work and the heartbeat of its lease.
#[derive(Debug, Clone)]
pub(in crate::service) struct ProgressCounter {
    caller: Arc<str>,
    now: Arc<Mutex<Progress>>,
}

impl ProgressCounter {
    /// Of a finalize that begins, of an upload of `total` bytes as far as that is known.
    pub fn new(caller: Arc<str>, total: u64) -> Self {
        Self { caller, now: Arc::new(Mutex::new(Progress { phase: Phase::Assembling, done: 0, total })) }
    }

    pub const fn caller(&self) -> &Arc<str> {
        &self.caller
    }

    /// `total` bytes of another phase are to come.
    pub fn enter(&self, phase: Phase, total: u64) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Progress { phase, done: 0, total };
    }

    pub fn advance(&self, bytes: u64) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).done += bytes;
    }

    pub fn now(&self) -> Progress {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
