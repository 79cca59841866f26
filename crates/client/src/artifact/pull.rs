//! `Repository::pull`: an artifact into an archive or an image layout.

use std::path::Path;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use overside_protocol::wire::Descriptor;

use super::origin::Origin;
use super::plan::{Plan, Walk};
use super::push::TransferReport;
use crate::archive::{ArchiveFormat, Bundle, ImageName, Output};
use crate::progress::{Outcome, Progress, reports_events};
use crate::registry::manifest::Manifest;
use crate::upload::concurrency::ConcurrencyLimit;
use crate::{Repository, Result};

/// Pulls an artifact and everything below it. Every blob is verified.
#[derive(Debug)]
#[must_use = "nothing is fetched before `save`"]
pub struct Pull {
    repository: Repository,
    root: Manifest,
    format: Option<ArchiveFormat>,
    name: Option<ImageName>,
    limit: ConcurrencyLimit,
    progress: Progress,
}

reports_events!(Pull);

impl Repository {
    /// Pulls the artifact whose root is this manifest, see [`Repository::find`].
    pub fn pull(&self, root: Manifest) -> Pull {
        let (limit, progress) = (ConcurrencyLimit::default(), Progress::default());
        Pull { repository: self.clone(), root, format: None, name: None, limit, progress }
    }
}

impl Pull {
    /// Writes this format. The default is [`ArchiveFormat::of`] the target.
    pub const fn format(mut self, format: ArchiveFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// Calls the image so in the archive: `docker load` gives it this name.
    pub fn name(mut self, name: impl Into<Option<ImageName>>) -> Self {
        self.name = name.into();
        self
    }

    /// Fetches so many blobs at a time: 4 by default.
    pub fn jobs(mut self, limit: impl Into<ConcurrencyLimit>) -> Self {
        self.limit = limit.into();
        self
    }

    /// Finds out which manifests and blobs [`Self::save`] would write. Fetches no blobs.
    ///
    /// # Errors
    /// [`Error::ManifestUnknown`](crate::Error::ManifestUnknown) if the repository lacks a manifest that an index lists,
    /// [`Error::TooDeep`](crate::Error::TooDeep) if there are more of them than an artifact has. Besides that what
    /// [any request](crate::Error#any-request) can fail with.
    pub async fn plan(&self) -> Result<Plan> {
        let origin = Origin::Registry(self.repository.clone());
        Walk::new(&origin, None).run(self.root.clone()).await
    }

    /// Writes the artifact to `target`. What an interrupted run has finished is not fetched again.
    ///
    /// # Errors
    /// As [`Self::plan`] before anything is written. Then [`Error::Archive`](crate::Error::Archive) if the target is
    /// something else than such an archive, [`Error::File`](crate::Error::File) if it cannot be written,
    /// [`Error::DownloadInProgress`](crate::Error::DownloadInProgress) if another process writes to it, and for each blob as
    /// [`Download::save`](crate::Download::save).
    pub async fn save(self, target: impl AsRef<Path>) -> Result<TransferReport> {
        let target = target.as_ref();
        let mut plan = self.plan().await?;
        for layer in &plan.foreign {
            self.progress.of(layer.digest.to_string()).finished(Outcome::Foreign);
        }
        let mut report = TransferReport {
            manifests: plan.manifests.len(),
            foreign: plan.foreign.len(),
            ..TransferReport::default()
        };
        plan.manifests.pop();
        let blobs: Vec<_> = plan.layers.into_iter().chain(plan.configs).collect();
        let known = blobs.len();
        let Self { repository, root, name, limit, progress, .. } = self;
        let bundle = Bundle { root, below: plan.manifests, blobs, name };
        let format = self.format.unwrap_or_else(|| ArchiveFormat::of(target));
        let output = Output::create(target, format, bundle, &progress).await?;
        let missing = output.missing();
        report.existed = known.saturating_sub(missing.len());
        (report.sent, report.sent_bytes) = (missing.len(), missing.iter().map(|blob| blob.size).sum());
        let fetching = missing.iter().map(|blob| fetch(&repository, blob, &output, target, &progress));
        stream::iter(fetching).buffer_unordered(limit.jobs()).try_collect::<()>().await?;
        output.finish().await?;
        Ok(report)
    }
}

async fn fetch(
    repository: &Repository,
    blob: &Descriptor,
    output: &Output,
    target: &Path,
    progress: &Progress,
) -> Result<()> {
    let progress = progress.of(blob.digest.to_string());
    let slot = output.slot(&blob.digest, &progress).await?;
    repository.fill(&blob.digest, blob.size, slot, target, &progress).await
}
