//! An artifact into a registry, from wherever it is: blobs first, then what names them, the root last.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use overside_protocol::reference::Reference;
use overside_protocol::wire::Descriptor;

use super::origin::Origin;
use super::plan::{Plan, Walk};
use super::referrers;
use super::target::{CopyOptions, Target};
use crate::progress::{Event, Outcome, Progress, Stage};
use crate::registry::manifest::Manifest;
use crate::upload::put::PutOptions;
use crate::{Error, Result};

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct CopyReport {
    pub manifests: usize,
    /// Blobs that were sent, and their bytes.
    pub sent: usize,
    pub sent_bytes: u64,
    /// Blobs that were there.
    pub existed: usize,
    /// Blobs that the registry took from another repository of its own.
    pub mounted: usize,
    /// Layers that registries do not keep.
    pub foreign: usize,
}

/// What [`copy`] would do: the artifact, and then each that is about it, where these were asked for.
pub async fn plan(
    origin: &Origin,
    root: &Manifest,
    target: &Target,
    options: &CopyOptions,
) -> Result<Vec<Plan>> {
    check_tag(root, target, options).await?;
    // What is about an image may be missing where the image is not: then all of it is looked at.
    let known = (!options.recheck && !options.referrers).then_some((&target.client, &target.repository));
    let mut plans = vec![Walk::new(origin, known).run(root.clone()).await?];
    if options.referrers {
        referrers::plan(origin, target, options, &mut plans).await?;
    }
    Ok(plans)
}

/// Copies an artifact and everything below it. What is there is not sent again.
pub async fn copy(
    origin: &Origin,
    root: &Manifest,
    target: &Target,
    options: &CopyOptions,
    progress: &Progress,
) -> Result<CopyReport> {
    let plans = plan(origin, root, target, options).await?;
    let mut report = CopyReport::default();
    let mut target = target.clone();
    for plan in &plans {
        send(origin, plan, &target, options, progress, &mut report).await?;
        // It is the first that was asked for by its tag.
        target.tag = None;
    }
    Ok(report)
}

/// An existing tag keeps its meaning unless that is forced.
async fn check_tag(root: &Manifest, target: &Target, options: &CopyOptions) -> Result<()> {
    let Some(tag) = target.tag.clone().filter(|_| !options.replace_tag) else { return Ok(()) };
    let existing = target.client.resolve_pushed(&target.repository, &Reference::Tag(tag.clone())).await?;
    match existing {
        Some(existing) if existing.digest != root.descriptor.digest => {
            Err(Error::TagTaken { tag, digest: existing.digest })
        }
        _ => Ok(()),
    }
}

async fn send(
    origin: &Origin,
    plan: &Plan,
    target: &Target,
    options: &CopyOptions,
    progress: &Progress,
    report: &mut CopyReport,
) -> Result<()> {
    report.foreign += plan.foreign.len();
    for layer in &plan.foreign {
        progress.of(layer.digest.to_string()).finished(Outcome::Foreign);
    }
    let sender = Sender { origin, target, options, progress };
    for blobs in [&plan.layers, &plan.configs] {
        for (outcome, size) in sender.send_blobs(blobs).await? {
            report.count(outcome, size);
        }
    }
    let mut manifests = plan.manifests.iter().peekable();
    while let Some(manifest) = manifests.next() {
        let tag = target.tag.as_ref().filter(|_| manifests.peek().is_none());
        if tag.is_some() {
            // Hours after the first look another may have taken it.
            check_tag(manifest, target, options).await?;
        }
        let pushed = target.client.push_manifest(&target.repository, manifest, tag).await?;
        report.manifests += 1;
        if let Some(subject) = manifest.subject.as_ref().filter(|_| !pushed.lists_referrers) {
            referrers::note(target, subject, manifest).await?;
        }
    }
    Ok(())
}

struct Sender<'a> {
    origin: &'a Origin,
    target: &'a Target,
    options: &'a CopyOptions,
    progress: &'a Progress,
}

impl Sender<'_> {
    /// Side by side, unless they have to be read one after the other.
    async fn send_blobs(&self, blobs: &[Descriptor]) -> Result<Vec<(Outcome, u64)>> {
        let mut blobs: Vec<_> = blobs.iter().collect();
        let mut at_once = self.options.put.lanes.count();
        if let Some(order) = self.origin.reading_order() {
            blobs.sort_by_key(|blob| order(&blob.digest));
            at_once = 1;
        }
        let sending = blobs.into_iter().map(|blob| self.send_blob(blob));
        stream::iter(sending).buffer_unordered(at_once).try_collect().await
    }

    async fn send_blob(&self, descriptor: &Descriptor) -> Result<(Outcome, u64)> {
        let Target { client, repository, .. } = self.target;
        let progress = self.progress.of(descriptor.digest.to_string());
        progress.report(Event::Started { stage: Stage::Uploading, total: descriptor.size, done: 0 });
        // Before it is opened: to open may be to unpack.
        if client.pushed_blob_size(repository, &descriptor.digest).await? == Some(descriptor.size) {
            client.found_blob(repository, &descriptor.digest, &self.options.put, &progress);
            return Ok((Outcome::Exists, descriptor.size));
        }
        let opened = self.origin.open(descriptor).await?;
        let mount_from = self.origin.mountable_by(client).cloned();
        let options = PutOptions { mount_from, ..self.options.put.clone() };
        let put = client.put_missing_blob(repository, &opened.blob, &options, &progress).await?;
        Ok((put.outcome, descriptor.size))
    }
}

impl CopyReport {
    pub(super) const fn count(&mut self, outcome: Outcome, size: u64) {
        match outcome {
            Outcome::Exists => self.existed += 1,
            Outcome::Mounted => self.mounted += 1,
            Outcome::Foreign => self.foreign += 1,
            Outcome::Direct | Outcome::ThroughServer | Outcome::Downloaded => {
                self.sent += 1;
                self.sent_bytes += size;
            }
        }
    }
}
