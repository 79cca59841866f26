//! `Repository::push`: an artifact into a repository, blobs first, then the manifests that name them, the root last.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use overside_protocol::reference::{Reference, Tag};
use overside_protocol::upload::TransferMode;
use overside_protocol::wire::Descriptor;

use super::builder::BuiltArtifact;
use super::origin::Origin;
use super::plan::{Plan, Walk};
use super::referrers;
use crate::progress::{Outcome, Progress, Stage, reports_events};
use crate::registry::manifest::Manifest;
use crate::upload::blob_upload::PutOptions;
use crate::upload::concurrency::ConcurrencyLimit;
use crate::upload::saved_uploads::SavedUploads;
use crate::{Error, Repository, Result};

/// Pushes an artifact and everything below it. What the repository has is not sent again.
#[derive(Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Push {
    repository: Repository,
    origin: Origin,
    root: Manifest,
    tag: Option<Tag>,
    replaces_tag: bool,
    rechecks: bool,
    with_referrers: bool,
    options: PutOptions,
    progress: Progress,
}

/// Counts of what was transferred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct TransferReport {
    pub manifests: usize,
    /// Blobs that were sent or fetched.
    pub sent: usize,
    pub sent_bytes: u64,
    /// Blobs that were there.
    pub existed: usize,
    /// Blobs that the registry took from another repository of its own.
    pub mounted: usize,
    /// Layers of a foreign type, which registries do not keep.
    pub foreign: usize,
}

reports_events!(Push);

impl Repository {
    /// Pushes the artifact whose root is this manifest of the origin.
    pub fn push(&self, origin: Origin, root: Manifest) -> Push {
        Push {
            repository: self.clone(),
            origin,
            root,
            tag: None,
            replaces_tag: false,
            rechecks: false,
            with_referrers: false,
            options: PutOptions::default(),
            progress: Progress::default(),
        }
    }

    /// Pushes an artifact that was built from files.
    pub fn push_files(&self, artifact: BuiltArtifact) -> Push {
        let root = artifact.manifest.clone();
        self.push(Origin::Built(Arc::new(artifact)), root)
    }
}

impl Push {
    #[must_use]
    pub const fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The root's manifest.
    #[must_use]
    pub const fn root(&self) -> &Manifest {
        &self.root
    }

    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Gives the root this tag. Without one it can be found by its digest alone.
    pub fn tag(mut self, tag: impl Into<Option<Tag>>) -> Self {
        self.tag = tag.into();
        self
    }

    /// Whether a tag that points to another manifest may be moved. By default that is an error.
    pub const fn replace_tag(mut self, replace: bool) -> Self {
        self.replaces_tag = replace;
        self
    }

    /// Whether every blob is looked up again, also those of manifests that the repository has.
    pub const fn recheck(mut self, recheck: bool) -> Self {
        self.rechecks = recheck;
        self
    }

    /// Whether the artifacts that refer to this one as their subject are pushed too, such as signatures.
    pub const fn referrers(mut self, referrers: bool) -> Self {
        self.with_referrers = referrers;
        self
    }

    /// Sends so many bodies at a time (4 by default), or shares a limit with other transfers.
    pub fn jobs(mut self, limit: impl Into<ConcurrencyLimit>) -> Self {
        self.options.limit = limit.into();
        self
    }

    /// Sends each blob in one PUT or in parts. The server decides by the size if this is not given.
    pub fn mode(mut self, mode: impl Into<Option<TransferMode>>) -> Self {
        self.options.mode = mode.into();
        self
    }

    /// Saves uploads while they are under way, and resumes those that were saved before.
    pub fn saved_uploads(mut self, uploads: impl Into<Option<SavedUploads>>) -> Self {
        self.options.saved = uploads.into();
        self
    }

    /// Finds out what [`Self::send`] would do: a plan for the artifact, and one for each referrer if these are wanted. Sends
    /// nothing.
    ///
    /// # Errors
    /// [`Error::TagTaken`] if the tag points to another manifest and may not be moved, [`Error::ManifestUnknown`] if the
    /// origin lacks a manifest that an index lists, [`Error::TooDeep`] if there are more of them than an artifact has.
    /// Besides that what [any request](Error#any-request) can fail with.
    pub async fn plan(&self) -> Result<Vec<Plan>> {
        self.check_tag(&self.root).await?;
        // A referrer may be missing where the image is not: then all of it is looked at.
        let target = (!self.rechecks && !self.with_referrers).then_some(&self.repository);
        let mut plans = vec![Walk::new(&self.origin, target).run(self.root.clone()).await?];
        if self.with_referrers {
            let target = (!self.rechecks).then_some(&self.repository);
            referrers::plan(&self.origin, target, &mut plans).await?;
        }
        Ok(plans)
    }

    /// Pushes the artifact.
    ///
    /// # Errors
    /// As [`Self::plan`] before anything is sent. Then [`Error::Archive`] if the archive changes meanwhile, and for each blob
    /// as [`Put::send`](crate::Put::send), for each manifest as [`Repository::push_manifest`]. What was sent by then stays.
    pub async fn send(self) -> Result<TransferReport> {
        let mut report = TransferReport::default();
        for (index, plan) in self.plan().await?.iter().enumerate() {
            // The tag is the root's, not that of its referrers.
            let tag = self.tag.as_ref().filter(|_| index == 0);
            self.send_planned(plan, tag, &mut report).await?;
        }
        Ok(report)
    }

    /// An existing tag keeps pointing to its manifest unless the caller has it replaced.
    async fn check_tag(&self, root: &Manifest) -> Result<()> {
        let Some(tag) = self.tag.clone().filter(|_| !self.replaces_tag) else { return Ok(()) };
        let existing = self.repository.resolve_pushed(&Reference::Tag(tag.clone())).await?;
        match existing {
            Some(existing) if existing.digest != root.descriptor.digest => {
                Err(Error::TagTaken { tag, digest: existing.digest })
            }
            _ => Ok(()),
        }
    }

    async fn send_planned(&self, plan: &Plan, tag: Option<&Tag>, report: &mut TransferReport) -> Result<()> {
        report.foreign += plan.foreign.len();
        for layer in &plan.foreign {
            self.progress.of(layer.digest.to_string()).finished(Outcome::Foreign);
        }
        for blobs in [&plan.layers, &plan.configs] {
            for (outcome, size) in self.send_blobs(blobs).await? {
                report.count(outcome, size);
            }
        }
        let mut manifests = plan.manifests.iter().peekable();
        while let Some(manifest) = manifests.next() {
            let tag = tag.filter(|_| manifests.peek().is_none());
            if tag.is_some() {
                // Hours after the first look another may have taken it.
                self.check_tag(manifest).await?;
            }
            let pushed = self.repository.push_manifest(manifest, tag).await?;
            report.manifests += 1;
            if let Some(subject) = manifest.subject.as_ref().filter(|_| !pushed.lists_referrers) {
                referrers::add_to_tag(&self.repository, subject, manifest).await?;
            }
        }
        Ok(())
    }

    /// Sends blobs side by side, unless they have to be read one after the other.
    async fn send_blobs(&self, blobs: &[Descriptor]) -> Result<Vec<(Outcome, u64)>> {
        let mut blobs: Vec<_> = blobs.iter().collect();
        let mut at_once = self.options.limit.jobs();
        if let Some(order) = self.origin.reading_order() {
            blobs.sort_by_key(|blob| order(&blob.digest));
            at_once = 1;
        }
        let sending = blobs.into_iter().map(|blob| self.send_blob(blob));
        stream::iter(sending).buffer_unordered(at_once).try_collect().await
    }

    async fn send_blob(&self, descriptor: &Descriptor) -> Result<(Outcome, u64)> {
        let repository = &self.repository;
        let progress = self.progress.of(descriptor.digest.to_string());
        progress.started(Stage::Uploading, descriptor.size, 0);
        // Before it is opened: to open may be to unpack.
        if repository.pushed_blob_size(&descriptor.digest).await? == Some(descriptor.size) {
            repository.found_blob(&descriptor.digest, &self.options, &progress);
            return Ok((Outcome::Exists, descriptor.size));
        }
        let opened = self.origin.open(descriptor).await?;
        let mount_from = self.origin.mountable_by(&repository.registry).cloned();
        let options = PutOptions { mount_from, ..self.options.clone() };
        let put = repository.put_missing_blob(&opened.blob, &options, &progress).await?;
        Ok((put.outcome, descriptor.size))
    }
}

impl TransferReport {
    const fn count(&mut self, outcome: Outcome, size: u64) {
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
