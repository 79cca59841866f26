//! Lazy finalize: a client that was redirected to the store tells nobody when its bytes are there. So they are looked
//! for: again and again in the background, and at once when somebody asks for the blob.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::finalize::{Claimant, ClientHints};
use super::lease::POLL_INTERVAL;
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

/// Between two looks at what another replica proves, where that takes long: a crowd that waits is to be no load.
const LONGEST_POLL: Duration = Duration::from_secs(2);

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
        deadline: Instant,
    ) -> Result<Settled> {
        let mut settled = Settled::default();
        // Nobody was ever redirected: not a statement more for whoever asks for a blob that is not there.
        if !self.storage.takes_redirects() {
            return Ok(settled);
        }
        let uploads = self.db.redirected_uploads(repository, digests).await?;
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
        let is_sending = matches!(upload.state, State::Uploading { .. });
        if is_sending && self.storage.arrived(upload.id).await?.is_none() {
            return Ok(Outcome::Nothing(None));
        }
        let (id, mut pause) = (upload.id, POLL_INTERVAL);
        loop {
            let service = Arc::clone(&self);
            // In a task: whoever is claimed for is claimed for, also where nobody waits any more.
            let claiming = async move {
                let (hints, claimant) = (ClientHints::default(), Claimant::Absent);
                service.start_finalizing(upload, digest, hints, claimant).await
            };
            let finalized = match self.outlive(claiming).await? {
                Ok(working) => working.await?,
                Err(error) => Err(error),
            };
            return Ok(match finalized {
                Ok(_) | Err(ServiceError::Refused(Refusal::Completed(_))) => Outcome::Done,
                // By another owner, or it could not be done just now.
                Err(error) if error.is_transient() || is_held(&error) => {
                    if self.handover.is_cancelled() {
                        return Ok(Outcome::Underway);
                    }
                    tokio::time::sleep(pause).await;
                    pause = LONGEST_POLL.min(pause * 2);
                    upload = self.read_again(id).await?;
                    continue;
                }
                Err(ServiceError::Refused(Refusal::Failed(failure))) => Outcome::Nothing(Some(failure)),
                Err(error) => Outcome::Nothing(error.verdict()),
            });
        }
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
            while let Some(looked) = looking.next().await {
                match looked {
                    Ok(has_arrived) => arrived += usize::from(has_arrived),
                    Err(error) => tracing::debug!(error = %chain(&error), "an upload is looked at later"),
                }
            }
            if is_last {
                break;
            }
        }
        Ok(arrived)
    }

    async fn look_at(self: &Arc<Self>, upload: Upload, now: DateTime<Utc>) -> Result<bool> {
        let Some(digest) = upload.declared_digest else { return Ok(false) };
        let pause = ((now - upload.updated_at) / 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        // Put off first: what cannot be answered now must not be asked again at once, nor by another replica.
        if !self.db.take_look(upload.id, now, now + pause).await?
            || self.storage.arrived(upload.id).await?.is_none()
        {
            return Ok(false);
        }
        match self.start_finalizing(upload, digest, ClientHints::default(), Claimant::Absent).await {
            Ok(_) => Ok(true),
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
