//! Lazy finalize: a client that was redirected to the store tells nobody when its bytes are there. So they are looked
//! for: again and again in the background, and at once when somebody asks for the blob.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::finalize::{Claimant, ClientHints};
use super::lease::POLL_INTERVAL;
use crate::domain::access::Action;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{Failure, Refusal, State, Upload};
use crate::log_text::chain;
use crate::service::{Result, Service, ServiceError};

/// Sessions between two looks at the list.
const LOOKS: u32 = 100;
/// Of those so many at a time: each is a question to the store, and live traffic goes first.
const LOOKS_AT_ONCE: usize = 8;
/// From one look at a session to the next: half as long as its client has had for sending so far, but no less and no
/// more than this.
const SHORTEST_PAUSE: TimeDelta = TimeDelta::seconds(1);
const LONGEST_PAUSE: TimeDelta = TimeDelta::minutes(10);

/// How long whoever asks for a blob waits until it is proven. Stock clients give up on an answer after 30 s (containerd
/// 2.3, `ResponseHeaderTimeout`).
pub(in crate::service) const PATIENCE_FOR_PROOF: Duration = Duration::from_secs(25);

/// Uploads that are finalized side by side for one who asks: what they do is limited further down.
const SETTLED_AT_ONCE: usize = 64;
/// Questions to the store at once, of all who ask for blobs.
pub(in crate::service) const ARRIVALS_AT_ONCE: usize = 16;
/// Finalizes at once that nobody has asked for. What arrived while no replica was there is taken bit by bit.
pub(in crate::service) const UNASKED_AT_ONCE: usize = 16;
/// Of one blob so many uploads are looked at, the newest, for who pushes what names it: jobs that push one base image side
/// by side. And for who only wants to read it, which anybody may.
pub(in crate::service) const LOOKED_AT_FOR_PUSH: u32 = 64;
pub(in crate::service) const LOOKED_AT_FOR_READ: u32 = 4;
/// Of the newest uploads of somebody who has too many open so many are looked at, for so long.
const LOOKED_AT_FOR_BEGIN: u32 = 8;
const PATIENCE_FOR_BEGIN: Duration = Duration::from_secs(5);

/// Between two looks at what another replica proves, where that takes long: a crowd that waits is to be no load.
pub(super) const LONGEST_POLL: Duration = Duration::from_secs(2);

/// What became of redirected uploads that somebody asked for.
#[derive(Debug, Default)]
pub(in crate::service) struct Settled {
    /// Blobs that the repository has now.
    pub done: u64,
    /// Whether any is still being proven.
    pub is_underway: bool,
    /// Why one is not what was to be sent, where that was found out now.
    pub failure: Option<Failure>,
}

/// The same of one upload.
#[derive(Debug)]
enum Outcome {
    Done,
    /// Its bytes are not there, or are not the blob.
    Nothing(Option<Failure>),
    Underway,
}

impl Service {
    /// Finalizes what has arrived of these blobs by redirected uploads to this repository, and waits for it until the
    /// deadline. The proofs go on after that.
    ///
    /// # Errors
    /// The database's and the store's, where one of them is away.
    pub(in crate::service) async fn settle(
        self: &Arc<Self>,
        repository: &RepositoryName,
        digests: &[Digest],
        most: u32,
        deadline: Instant,
    ) -> Result<Settled> {
        // Nobody was ever redirected: not a statement more for whoever asks for a blob that is not there.
        if !self.storage.takes_redirects() {
            return Ok(Settled::default());
        }
        let uploads = self.db.redirected_uploads(repository, digests, most).await?;
        self.settle_uploads(uploads, deadline).await
    }

    /// Finalizes what has arrived of somebody's newest redirected uploads: whether any of them is open no more.
    ///
    /// # Errors
    /// The database's and the store's, where one of them is away.
    pub(in crate::service) async fn settle_newest_of(self: &Arc<Self>, user: &str) -> Result<bool> {
        if !self.storage.takes_redirects() {
            return Ok(false);
        }
        let uploads = self.db.redirected_uploads_of(user, LOOKED_AT_FOR_BEGIN).await?;
        let settled = self.settle_uploads(uploads, Instant::now() + PATIENCE_FOR_BEGIN).await?;
        Ok(settled.done > 0 || settled.failure.is_some())
    }

    async fn settle_uploads(self: &Arc<Self>, uploads: Vec<Upload>, deadline: Instant) -> Result<Settled> {
        let mut settled = Settled::default();
        let named = uploads.into_iter().filter_map(|upload| Some((upload.declared_digest?, upload)));
        let named: Vec<_> = named.collect();
        let mut open: HashSet<_> = named.iter().map(|(digest, _)| *digest).collect();
        let mut underway = HashSet::new();
        let settling = stream::iter(named).map(|(digest, upload)| async move {
            let settling = Arc::clone(self).settle_one(upload, digest);
            let outcome = tokio::time::timeout_at(deadline, settling).await.unwrap_or(Ok(Outcome::Underway));
            outcome.map(|outcome| (digest, outcome))
        });
        let mut settling = std::pin::pin!(settling.buffer_unordered(SETTLED_AT_ONCE));
        // Of two uploads of one blob the first that succeeds is enough.
        while !open.is_empty()
            && let Some(outcome) = settling.next().await
        {
            match outcome? {
                (digest, Outcome::Done) => settled.done += u64::from(open.remove(&digest)),
                (digest, Outcome::Underway) => {
                    underway.insert(digest);
                }
                (_, Outcome::Nothing(failure)) => settled.failure = settled.failure.or(failure),
            }
        }
        settled.is_underway = underway.iter().any(|digest| open.contains(digest));
        Ok(settled)
    }

    async fn settle_one(self: Arc<Self>, mut upload: Upload, digest: Digest) -> Result<Outcome> {
        let (id, mut pause) = (upload.id, POLL_INTERVAL);
        loop {
            match self.settle_once(upload, digest).await {
                Ok(outcome) => return Ok(outcome),
                Err(ServiceError::Refused(Refusal::Completed(_))) => return Ok(Outcome::Done),
                Err(ServiceError::Refused(Refusal::Failed(failure))) => {
                    return Ok(Outcome::Nothing(Some(failure)));
                }
                // By another owner, or it could not be done just now.
                Err(error) if error.is_transient() || is_held(&error) => {
                    if self.handover.is_cancelled() {
                        return Ok(Outcome::Underway);
                    }
                    tokio::time::sleep(pause).await;
                    pause = LONGEST_POLL.min(pause * 2);
                    upload = self.read_again(id).await?;
                }
                Err(error) => return Ok(Outcome::Nothing(error.verdict())),
            }
        }
    }

    async fn settle_once(self: &Arc<Self>, upload: Upload, digest: Digest) -> Result<Outcome> {
        if matches!(upload.state, State::Uploading { .. }) {
            let turn = self.arrivals.acquire().await;
            let arrived = self.storage.arrived(upload.id).await?;
            drop(turn);
            if arrived.is_none() {
                return Ok(Outcome::Nothing(None));
            }
        }
        let service = Arc::clone(self);
        // In a task: whoever is claimed for is claimed for, also where nobody waits any more.
        let claiming = async move { service.start_finalizing_arrived(upload, digest).await };
        self.outlive(claiming).await??.await??;
        Ok(Outcome::Done)
    }

    /// Begins to finalize what has arrived: if whoever sent it may push there still. Nobody asks them to sign in again.
    async fn start_finalizing_arrived(
        self: &Arc<Self>,
        upload: Upload,
        digest: Digest,
    ) -> Result<JoinHandle<Result<Digest>>> {
        if matches!(upload.state, State::Uploading { .. })
            && !self.may_still(upload.user_id.as_deref(), &upload.repository, Action::Push).await?
        {
            tracing::info!(upload = %upload.id, "whoever sent it may not push any more");
            self.abort_from(upload).await?;
            return Err(Refusal::Aborted.into());
        }
        self.start_finalizing(upload, digest.into(), ClientHints::default(), Claimant::Absent).await
    }

    /// Looks at the redirected uploads that are due, and begins to finalize what has arrived; says how many.
    ///
    /// # Errors
    /// The database's, where it is away.
    pub async fn look_at_redirected(self: &Arc<Self>) -> Result<usize> {
        let mut arrived = 0;
        while self.storage.takes_redirects() && !self.handover.is_cancelled() {
            let now = self.clock.now();
            let due = self.db.uploads_to_look_at(now, LOOKS).await?;
            let is_last = due.len() < LOOKS as usize;
            let looking = stream::iter(due).map(|upload| self.look_at(upload, now));
            let mut looking = looking.buffer_unordered(LOOKS_AT_ONCE);
            let mut failures = 0;
            while let Some(looked) = looking.next().await {
                match looked {
                    Ok(has_arrived) => arrived += usize::from(has_arrived),
                    Err(error) => {
                        failures += 1;
                        tracing::debug!(error = %chain(&error), "an upload is looked at later");
                    }
                }
            }
            // What fails may be due still, and what there is no room for is: it waits for the next round.
            if is_last || failures > 0 || self.unasked.available_permits() == 0 {
                break;
            }
        }
        Ok(arrived)
    }

    async fn look_at(self: &Arc<Self>, upload: Upload, now: DateTime<Utc>) -> Result<bool> {
        let Some(digest) = upload.declared_digest else { return Ok(false) };
        let Ok(turn) = Arc::clone(&self.unasked).try_acquire_owned() else { return Ok(false) };
        let pause = ((now - upload.updated_at) / 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let is_sending = matches!(upload.state, State::Uploading { .. });
        // Put off first: what cannot be answered now must not be asked again at once, nor by another replica.
        if !self.db.take_look(upload.id, now, now + pause).await?
            || is_sending && self.storage.arrived(upload.id).await?.is_none()
        {
            return Ok(false);
        }
        match self.start_finalizing_arrived(upload, digest).await {
            Ok(working) => {
                self.tasks.spawn(async move {
                    // Its outcome is logged and persisted where it is decided.
                    let _ = working.await;
                    drop(turn);
                });
                Ok(true)
            }
            // Somebody who asked for the blob was faster, or its time is up.
            Err(ServiceError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether somebody else works on the session.
const fn is_held(error: &ServiceError) -> bool {
    matches!(error, ServiceError::Refused(Refusal::Finalizing | Refusal::LeaseLost))
}
