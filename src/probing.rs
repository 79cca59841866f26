//! What `serve` finds out about a bucket: at its start, and later what had no answer then.

use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::config::ServeConfig;
use crate::db::{Db, StoreProbe};
use crate::domain::clock::Clock;
use crate::log_text::chain;
use crate::storage::capability::{Capabilities, Capability};
use crate::storage::probe::PROBE_VERSION;
use crate::storage::{S3, Storage, UploadKind};

const UNUSABLE: &str = "cannot use the store; `overside doctor` says what is wrong";

/// Between tries to have open questions answered: a store that restarts is back in seconds, and one that answers a
/// question by an error every time is not asked more than this.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Asks a bucket what it can be relied on for.
#[derive(Debug)]
pub struct Prober {
    store: S3,
    db: Db,
    clock: Clock,
    /// See `--store-independent-proofs`.
    is_independent: bool,
}

impl Prober {
    pub fn new(storage: &Storage, db: &Db, clock: &Clock, config: &ServeConfig) -> Option<Self> {
        let Storage::S3(store) = storage else { return None };
        Some(Self {
            store: store.clone(),
            db: db.clone(),
            clock: clock.clone(),
            is_independent: config.store_independent_proofs,
        })
    }

    /// Sees what the bucket can be relied on for, or takes over what was seen of it lately.
    pub async fn probe(&self, refresh: bool) -> anyhow::Result<()> {
        // Looked at before it is written to: SeaweedFS makes a bucket of whatever name is written to, also a
        // misspelt one.
        self.store.check().await.context(UNUSABLE)?;
        let seen = if refresh { None } else { self.seen_lately().await? };
        match seen {
            Some(seen) => self.rely_on(seen),
            None => self.ask().await?,
        }
        Ok(())
    }

    /// Asks again what the store did not answer: without an answer uploads go the long way, which is no state to stay
    /// in until somebody restarts this.
    pub async fn ask_until_answered(self, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        while self.store.capabilities().is_open() {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            pause = LONGEST_PAUSE.min(pause * 2);
            if let Err(error) = self.ask().await {
                tracing::info!(error = %chain(&*error), "the store still leaves questions open; they are asked again");
            }
        }
    }

    async fn ask(&self) -> anyhow::Result<()> {
        // Boxed: it is larger than all that a request does.
        let seen = Box::pin(self.store.probe()).await.context(UNUSABLE)?;
        keep_probe(&self.store, &seen, &self.db, &self.clock).await?;
        self.rely_on(seen);
        Ok(())
    }

    fn rely_on(&self, mut seen: Capabilities) {
        self.warn_of_holes(&seen);
        if self.is_independent {
            tracing::info!("every presigned upload is read back");
            seen = seen.without_proofs();
        }
        for kind in UploadKind::ALL {
            tracing::info!(upload = kind.description(), proof = %seen.proof_method(kind).proof(), "how uploads are proven here");
        }
        self.store.set_capabilities(seen);
    }

    /// Never silently: the bytes of every upload go through this machine, or a key that was to protect does not.
    fn warn_of_holes(&self, seen: &Capabilities) {
        for hole in seen.url_holes() {
            tracing::warn!(
                reason = %hole,
                "uploads do not go to the bucket directly but through this service: the store would let the URLs do more \
                 than put one object. Use another store or version, or sign uploads with a key that may only put below \
                 temp/ (--s3-upload-access-key); `overside doctor` says which policy it needs"
            );
        }
        if self.store.upload_key().is_some() && !seen.has(Capability::UploadKeyRestricted) {
            tracing::warn!(
                "the key of --s3-upload-access-key was not seen to be restricted to puts below temp/, so it protects \
                 nothing; `overside doctor` says which policy it needs"
            );
        }
    }

    async fn seen_lately(&self) -> anyhow::Result<Option<Capabilities>> {
        let kept = self.db.find_probe(&self.store.identity(), PROBE_VERSION).await?;
        let Some(probe) = kept else { return Ok(None) };
        // What cannot be read is asked again.
        let seen = serde_json::from_value::<Capabilities>(probe.capabilities).ok();
        Ok(seen.filter(|seen| seen.is_fresh(probe.probed_at, self.clock.now())))
    }
}

/// Keeps what was seen of a bucket for all who start.
pub async fn keep_probe(store: &S3, seen: &Capabilities, db: &Db, clock: &Clock) -> anyhow::Result<()> {
    let probe = StoreProbe { capabilities: serde_json::to_value(seen)?, probed_at: clock.now() };
    Ok(db.save_probe(&store.identity(), PROBE_VERSION, &probe).await?)
}
