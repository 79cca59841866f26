//! A whole blob to the store, by whichever way the server gives: one PUT, or parts in parallel.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures_util::lock::Mutex;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::content::Content;
use super::progress::{Progress, Stage};
use super::session::PresignTerms;
use super::transfer::{Delivered, Delivery, Lanes, Signed, TransferOptions, Transferred};
use super::{Error, Result, Session};
use crate::domain::digest::Digest;
use crate::domain::part::{Part, PartNumber, PartPlan, PartRange};
use crate::domain::upload::TransferMode;
use crate::http::wire::{CompletedPart, PresignedMultipart, PresignedUpload, ReceivedPart};

/// URLs asked for at a time: few enough that none ages while it waits its turn, many enough to be one request in 100.
const SIGNED_BATCH: usize = 100;

impl Session {
    /// Sends what of the blob has not arrived yet.
    pub async fn upload(
        &self,
        content: &Content,
        digest: Digest,
        options: &TransferOptions,
        progress: &Progress,
    ) -> Result<Transferred> {
        let terms = PresignTerms::whole(content, digest, options.mode);
        let signed = self.presign(&terms).await?;
        self.deliver(content, &terms, signed, options, progress).await
    }

    /// Sends it by requests that were `signed` for `terms`.
    pub(super) async fn deliver(
        &self,
        content: &Content,
        terms: &PresignTerms,
        signed: PresignedUpload,
        options: &TransferOptions,
        progress: &Progress,
    ) -> Result<Transferred> {
        match signed {
            PresignedUpload::Put(put) => {
                progress.started(Stage::Uploading, content.size(), 0);
                let lanes = &options.lanes;
                let delivery = Delivery { session: self, content, lanes, terms, part: None, progress };
                delivery.run(Signed::put(put)).await?;
                Ok(Transferred { mode: TransferMode::Put, plan: None, parts: None })
            }
            PresignedUpload::Multipart(multipart) => {
                let upload = Multipart::new(self, content, &options.lanes, terms, progress, &multipart)?;
                let plan = Some(upload.plan);
                let parts = upload.run(multipart).await?;
                Ok(Transferred { mode: TransferMode::Multipart, plan, parts })
            }
        }
    }
}

struct Multipart<'a> {
    session: &'a Session,
    content: &'a Content,
    lanes: &'a Lanes,
    terms: &'a PresignTerms,
    progress: &'a Progress,
    plan: PartPlan,
    missing: BTreeSet<PartNumber>,
    etags: Mutex<BTreeMap<PartNumber, String>>,
}

impl<'a> Multipart<'a> {
    fn new(
        session: &'a Session,
        content: &'a Content,
        lanes: &'a Lanes,
        terms: &'a PresignTerms,
        progress: &'a Progress,
        first: &PresignedMultipart,
    ) -> Result<Self> {
        let plan = PartPlan::restore(content.size(), first.part_size)
            .ok()
            .filter(|plan| plan.part_count() == first.part_count)
            .ok_or_else(|| {
                Error::protocol(&session.client().peer(), "a part plan that does not fit the file")
            })?;
        let missing = missing(&plan, &first.received);
        let unsent: u64 = missing.iter().filter_map(|number| plan.part(*number)).map(|part| part.size).sum();
        progress.started(Stage::Uploading, content.size(), content.size() - unsent);
        Ok(Self { session, content, lanes, terms, progress, plan, missing, etags: Mutex::default() })
    }

    /// Sends every missing part, as many at a time as there are lanes, and lists them with each `ETag` if these were all the parts.
    async fn run(self, first: PresignedMultipart) -> Result<Option<Vec<CompletedPart>>> {
        let given: BTreeSet<_> = first.parts.iter().map(|part| part.part_number).collect();
        let rest: Vec<_> = self.missing.difference(&given).copied().collect();
        let batches = batches(&rest);
        let (mut batches, mut ready) = (batches.into_iter(), VecDeque::from(self.check(first)?));
        let mut sending = FuturesUnordered::new();
        loop {
            while sending.len() < self.lanes.count() {
                if let Some((part, signed)) = ready.pop_front() {
                    sending.push(self.send(part, signed));
                } else if let Some(range) = batches.next() {
                    // Not before: a URL signed early is a URL that is old when its turn comes.
                    ready.extend(self.check(self.sign(range).await?)?);
                } else {
                    break;
                }
            }
            match sending.next().await {
                Some(sent) => sent?,
                None => break,
            }
        }
        drop(sending);
        let etags = self.etags.into_inner();
        let all = etags.len() == usize::from(self.plan.part_count());
        let completed = |(part_number, etag)| CompletedPart { part_number, etag };
        Ok(all.then(|| etags.into_iter().map(completed).collect()))
    }

    async fn sign(&self, range: PartRange) -> Result<PresignedMultipart> {
        match self.session.presign(&PresignTerms { parts: Some(range), ..*self.terms }).await? {
            PresignedUpload::Multipart(multipart) => Ok(multipart),
            PresignedUpload::Put(_) => {
                Err(Error::protocol(&self.session.client().peer(), "one PUT for an upload in parts"))
            }
        }
    }

    /// The parts of a batch that are still missing, where they are those of the plan.
    fn check(&self, batch: PresignedMultipart) -> Result<Vec<(Part, Signed)>> {
        let wanted = batch.parts.into_iter().filter(|part| self.missing.contains(&part.part_number));
        wanted
            .map(|signed| match self.plan.part(signed.part_number) {
                Some(part) if (part.offset, part.size) == (signed.offset, signed.size) => {
                    Ok((part, Signed::part(signed, batch.expires_at)))
                }
                _ => Err(Error::protocol(&self.session.client().peer(), "a part that does not fit the plan")),
            })
            .collect()
    }

    async fn send(&self, part: Part, signed: Signed) -> Result<()> {
        let Self { session, content, lanes, terms, progress, .. } = *self;
        let delivery = Delivery { session, content, lanes, terms, part: Some(part), progress };
        if let Delivered::Stored(Some(etag)) = delivery.run(signed).await? {
            self.etags.lock().await.insert(part.number, etag);
        }
        Ok(())
    }
}

/// The parts that have not arrived, or not whole.
fn missing(plan: &PartPlan, received: &[ReceivedPart]) -> BTreeSet<PartNumber> {
    let received: BTreeMap<_, _> = received.iter().map(|part| (part.part_number, part.size)).collect();
    plan.parts()
        .filter(|part| received.get(&part.number) != Some(&part.size))
        .map(|part| part.number)
        .collect()
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
