//! Sends a blob to the store by presigned requests: in one PUT, or in parts side by side, as the server plans.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures_util::lock::Mutex;
use futures_util::stream::{FuturesUnordered, StreamExt};
use overside_protocol::part::{Part, PartNumber, PartPlan, PartRange};
use overside_protocol::upload::TransferMode;
use overside_protocol::wire::{CompletedPart, PresignedMultipart, PresignedUpload};

use super::concurrency::ConcurrencyLimit;
use super::content::Content;
use super::received_parts::{ETagKind, ReceivedParts, differing, etag_kind, whole_parts};
use super::session::{PresignTerms, Session};
use super::signed_put::{PresignedRequest, SignedPut, SignedPutOutcome, Transferred};
use crate::Result;
use crate::progress::{Event, Progress, Stage};

/// URLs requested at a time: few enough that none ages while it waits its turn, many enough to be one request in 100.
const SIGNED_BATCH: usize = 100;

impl Session {
    /// Sends those parts of the blob that have not arrived yet. `signed` are the first requests for these terms, if the server
    /// has given them already.
    pub(crate) async fn upload(
        &self,
        content: &Content,
        terms: &PresignTerms,
        signed: Option<PresignedUpload>,
        limit: &ConcurrencyLimit,
        progress: &Progress,
    ) -> Result<Transferred> {
        let signed = match signed {
            Some(signed) => signed,
            None => self.presign(terms).await?,
        };
        let whole = SignedPut { session: self, content, limit, terms, part: None, progress };
        match signed {
            PresignedUpload::Put(put) => {
                progress.started(Stage::Uploading, content.size(), 0);
                whole.run(PresignedRequest::put(put)).await?;
                Ok(Transferred { mode: TransferMode::Put, plan: None, parts: None })
            }
            PresignedUpload::Multipart(multipart) => {
                let upload = Multipart::new(whole, &multipart)?;
                let plan = Some(upload.plan);
                let parts = upload.run(multipart).await?;
                Ok(Transferred { mode: TransferMode::Multipart, plan, parts })
            }
        }
    }
}

struct Multipart<'a> {
    /// The PUT of the whole blob, from which those of the parts are made.
    whole: SignedPut<'a>,
    plan: PartPlan,
    /// The ETags of the parts that this run has sent.
    etags: Mutex<BTreeMap<PartNumber, String>>,
}

impl<'a> Multipart<'a> {
    fn new(whole: SignedPut<'a>, first: &PresignedMultipart) -> Result<Self> {
        let plan = PartPlan::restore(whole.content.size(), first.part_size).ok();
        let plan = plan.filter(|plan| plan.part_count() == first.part_count);
        let misfit =
            || whole.session.repository().registry.unexpected("a part plan that does not fit the file");
        Ok(Self { whole, plan: plan.ok_or_else(misfit)?, etags: Mutex::default() })
    }

    /// Sends every missing part, and lists them with each `ETag` if these were all the parts.
    async fn run(self, mut first: PresignedMultipart) -> Result<Option<Vec<CompletedPart>>> {
        let received = whole_parts(&self.plan, std::mem::take(&mut first.received));
        let missing: Vec<_> = self.plan.parts().filter(|part| !received.contains_key(&part.number)).collect();
        let size = self.whole.content.size();
        self.whole.progress.started(Stage::Uploading, size, size - size_of(&missing));
        self.send_all(&missing, Some(first)).await?;
        self.send_differing(&missing, &received).await?;
        let etags = self.etags.into_inner();
        let all = etags.len() == usize::from(self.plan.part_count());
        let completed = |(part_number, etag)| CompletedPart { part_number, etag };
        Ok(all.then(|| etags.into_iter().map(completed).collect()))
    }

    /// Sends those parts again that the store lists under another `ETag` than the MD5 of our bytes, if its ETags are MD5s.
    async fn send_differing(&self, sent: &[Part], received: &ReceivedParts) -> Result<()> {
        if received.is_empty() {
            return Ok(());
        }
        let mut known = match sent.first() {
            Some(part) => self.etag_kind(*part).await?,
            None => ETagKind::Unknown,
        };
        if known == ETagKind::Opaque {
            return Ok(());
        }
        let (mut differing, shown) = differing(self.whole.content, &self.plan, received).await?;
        if known == ETagKind::Unknown {
            known = shown;
        }
        if known == ETagKind::Unknown
            && let Some(part) = differing.pop()
        {
            // One is sent to see what the store calls it.
            self.send_again(&[part]).await?;
            known = self.etag_kind(part).await?;
        }
        if known == ETagKind::Md5 { self.send_again(&differing).await } else { Ok(()) }
    }

    async fn send_again(&self, parts: &[Part]) -> Result<()> {
        if parts.is_empty() {
            return Ok(());
        }
        tracing::debug!(parts = parts.len(), "the store has other bytes under these numbers");
        self.whole.progress.report(Event::Lost(size_of(parts)));
        self.send_all(parts, None).await
    }

    /// The kind of the store's ETags, by a part that this run has sent.
    async fn etag_kind(&self, part: Part) -> Result<ETagKind> {
        let etag = self.etags.lock().await.get(&part.number).cloned();
        match etag {
            Some(etag) => etag_kind(self.whole.content, part, &etag).await,
            None => Ok(ETagKind::Opaque),
        }
    }

    /// Sends these parts, as many at a time as the limit allows, by the requests that are signed already and by new ones.
    async fn send_all(&self, parts: &[Part], first: Option<PresignedMultipart>) -> Result<()> {
        let wanted: BTreeSet<_> = parts.iter().map(|part| part.number).collect();
        let given = first.map(|first| self.check(first, &wanted)).transpose()?.unwrap_or_default();
        let signed: BTreeSet<_> = given.iter().map(|(part, _)| part.number).collect();
        let rest: Vec<_> = wanted.difference(&signed).copied().collect();
        let (mut batches, mut ready) = (batches(&rest).into_iter(), VecDeque::from(given));
        let mut sending = FuturesUnordered::new();
        loop {
            while sending.len() < self.whole.limit.jobs() {
                if let Some((part, signed)) = ready.pop_front() {
                    sending.push(self.send(part, signed));
                } else if let Some(range) = batches.next() {
                    // Not before: a URL signed early is a URL that is old when its turn comes.
                    ready.extend(self.check(self.sign(range).await?, &wanted)?);
                } else {
                    break;
                }
            }
            match sending.next().await {
                Some(sent) => sent?,
                None => return Ok(()),
            }
        }
    }

    async fn sign(&self, range: PartRange) -> Result<PresignedMultipart> {
        match self.whole.session.presign(&PresignTerms { parts: Some(range), ..*self.whole.terms }).await? {
            PresignedUpload::Multipart(multipart) => Ok(multipart),
            PresignedUpload::Put(_) => {
                Err(self.whole.session.repository().registry.unexpected("one PUT for an upload in parts"))
            }
        }
    }

    /// The wanted parts of a batch with their requests. An error if one does not fit the plan.
    fn check(
        &self,
        batch: PresignedMultipart,
        wanted: &BTreeSet<PartNumber>,
    ) -> Result<Vec<(Part, PresignedRequest)>> {
        let parts = batch.parts.into_iter().filter(|part| wanted.contains(&part.part_number));
        parts
            .map(|signed| match self.plan.part(signed.part_number) {
                Some(part) if (part.offset, part.size) == (signed.offset, signed.size) => {
                    Ok((part, PresignedRequest::part(signed, batch.expires_at)))
                }
                _ => Err(self
                    .whole
                    .session
                    .repository()
                    .registry
                    .unexpected("a part that does not fit the plan")),
            })
            .collect()
    }

    async fn send(&self, part: Part, signed: PresignedRequest) -> Result<()> {
        let put = SignedPut { part: Some(part), ..self.whole };
        if let SignedPutOutcome::Stored(Some(etag)) = put.run(signed).await? {
            self.etags.lock().await.insert(part.number, etag);
        }
        Ok(())
    }
}

/// The size of all these parts together, in bytes.
fn size_of(parts: &[Part]) -> u64 {
    parts.iter().map(|part| part.size).sum()
}

/// Runs of consecutive numbers, none longer than a batch.
fn batches(numbers: &[PartNumber]) -> Vec<PartRange> {
    numbers
        .chunk_by(|before, after| before.next().as_ref() == Ok(after))
        .flat_map(|run| run.chunks(SIGNED_BATCH))
        .filter_map(|batch| Some(PartRange { first: *batch.first()?, last: *batch.last()? }))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn batches_are_short_and_hold_every_number_once(numbers: BTreeSet<u16>) {
            let numbers: Vec<_> = numbers.into_iter().filter_map(|n| PartNumber::new(n.into()).ok()).collect();
            let batches = batches(&numbers);
            let listed: Vec<_> = batches.iter().flat_map(|range| range.first.get()..=range.last.get()).collect();
            prop_assert_eq!(listed, numbers.iter().map(|number| number.get()).collect::<Vec<_>>());
            prop_assert!(batches.iter().all(|range| range.last.get() - range.first.get() < 100));
        }
    }
}
