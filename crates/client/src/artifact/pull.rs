//! An artifact out of a registry, into an archive or a layout.

use std::path::Path;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use overside_protocol::name::RepositoryName;
use overside_protocol::wire::Descriptor;

use super::plan::Walk;
use super::{CopyReport, Origin, Plan};
use crate::archive::{Bundle, Form, ImageName, Output};
use crate::progress::{Outcome, Progress};
use crate::registry::manifest::Manifest;
use crate::upload::signed::Lanes;
use crate::{Client, Result};

/// How an artifact is pulled.
#[derive(Debug, Clone)]
pub struct PullOptions {
    pub lanes: Lanes,
    pub form: Form,
    /// What the archive calls it.
    pub name: Option<ImageName>,
}

/// Everything below `root`.
pub async fn plan_pull(client: &Client, repository: &RepositoryName, root: &Manifest) -> Result<Plan> {
    let origin = Origin::Registry(client.clone(), repository.clone());
    Walk::new(&origin, None).run(root.clone()).await
}

/// Writes an artifact and everything below it to `target`. What an interrupted run has finished is not fetched again.
pub async fn pull(
    client: &Client,
    repository: &RepositoryName,
    root: Manifest,
    target: &Path,
    options: &PullOptions,
    progress: &Progress,
) -> Result<CopyReport> {
    let mut plan = plan_pull(client, repository, &root).await?;
    for layer in &plan.foreign {
        progress.of(layer.digest.to_string()).finished(Outcome::Foreign);
    }
    let mut report =
        CopyReport { manifests: plan.manifests.len(), foreign: plan.foreign.len(), ..CopyReport::default() };
    plan.manifests.pop();
    let blobs: Vec<_> = plan.layers.into_iter().chain(plan.configs).collect();
    let known = blobs.len();
    let bundle = Bundle { root, below: plan.manifests, blobs, name: options.name.clone() };
    let output = Output::create(target, options.form, bundle, progress).await?;
    let missing = output.missing();
    report.existed = known.saturating_sub(missing.len());
    (report.sent, report.sent_bytes) = (missing.len(), missing.iter().map(|blob| blob.size).sum());
    let fetching = missing.iter().map(|blob| fetch(client, repository, blob, &output, target, progress));
    stream::iter(fetching).buffer_unordered(options.lanes.count()).try_collect::<()>().await?;
    output.finish().await?;
    Ok(report)
}

async fn fetch(
    client: &Client,
    repository: &RepositoryName,
    blob: &Descriptor,
    output: &Output,
    target: &Path,
    progress: &Progress,
) -> Result<()> {
    let progress = progress.of(blob.digest.to_string());
    let slot = output.slot(&blob.digest, &progress).await?;
    client.fill(repository, &blob.digest, blob.size, slot, target, &progress).await
}
