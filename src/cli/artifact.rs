//! What `push`, `copy` and `put --recursive` share: sending an artifact and saying what came of it.

use std::path::PathBuf;

use anyhow::Context;
use overside_client::artifact::{Plan, Push, TransferReport};
use overside_client::{ImageRef, Repository, SavedUploads};
use overside_protocol::wire::Descriptor;
use serde_json::json;

use super::Interrupted;
use super::progress::{Display, OutputArgs};
use crate::domain::digest::Digest;
use crate::domain::reference::Reference;

/// Where uploads under way are remembered, below the user's folder for state.
const STATE_FOLDER: &str = "overside/uploads";

/// What may be sent.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SendArgs {
    /// Make the project if it is missing
    #[arg(long)]
    pub project_create: bool,
    /// Say what would be sent, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Folder that remembers uploads under way, so that the same command goes on with them
    /// [default: overside/uploads below `$XDG_STATE_HOME` or ~/.local/state]
    #[arg(long, value_name = "DIR", env = "OVERSIDE_STATE")]
    state: Option<PathBuf>,
}

/// One command's.
pub(super) struct Sending<'a> {
    pub display: &'a Display,
    pub output: OutputArgs,
    pub args: &'a SendArgs,
    /// What the root was called where it comes from, if it was called something else.
    pub before: Option<Digest>,
}

impl SendArgs {
    /// What has to be there before anything can be sent.
    pub async fn prepare(&self, repository: &Repository) -> anyhow::Result<()> {
        if self.project_create && !self.dry_run {
            repository.create_project().await.context("cannot make the project")?;
        }
        Ok(())
    }

    /// None where there is no folder for state.
    pub fn saved_uploads(&self) -> Option<SavedUploads> {
        let base = || Some(user_folder("XDG_STATE_HOME", ".local/state")?.join(STATE_FOLDER));
        self.state.clone().or_else(base).map(SavedUploads::at)
    }
}

/// A folder of the user's (XDG Base Directory Specification): what a variable says, or else below their home.
pub(super) fn user_folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let given = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    given.or_else(|| Some(std::env::home_dir()?.join(below_home)))
}

impl Sending<'_> {
    /// Sends, or says what would be sent.
    pub async fn send(&self, push: Push, name: &ImageRef) -> anyhow::Result<()> {
        if self.args.dry_run {
            for plan in push.plan().await? {
                self.say_planned(&push, &plan).await?;
            }
            return Ok(());
        }
        let root = push.root().descriptor.clone();
        let report = push.progress(self.display.progress()).send().await?;
        self.display.finish();
        self.say(&root, name, &report)
    }

    /// The digest alone on a line, for people to copy and for scripts to read.
    fn say(&self, root: &Descriptor, name: &ImageRef, report: &TransferReport) -> anyhow::Result<()> {
        let digest = root.digest;
        let reference = name.with_reference(Some(Reference::Digest(digest)));
        let mut result = json!({
            "event": "result",
            "digest": digest,
            "media_type": root.media_type,
            "repository": name.repository().as_str(),
            "reference": reference.to_string(),
            "name": name.to_string(),
            "blobs": report,
        });
        if let Some(before) = self.before {
            result["digest_before"] = json!(before);
        }
        self.output.format().say(&result, || say!("{digest} {name}{}", told_before(self.before)))
    }

    async fn say_planned(&self, push: &Push, plan: &Plan) -> anyhow::Result<()> {
        let repository = push.repository();
        let manifests = plan.manifests.iter().map(|manifest| (&manifest.descriptor, "would be pushed"));
        let foreign = plan.foreign.iter().map(|layer| (layer, "foreign, left where it is"));
        let present = plan.present.iter().map(|manifest| (manifest, "exists"));
        let mut planned: Vec<_> = foreign.chain(present).collect();
        let missing = match push.origin().mountable_by(repository.registry()) {
            Some(from) if from != repository.name() => "would be mounted",
            _ => "would be sent",
        };
        for blob in plan.layers.iter().chain(&plan.configs) {
            let size = repository.blob_size(&blob.digest).await?;
            planned.push((blob, if size == Some(blob.size) { "exists" } else { missing }));
        }
        self.display.finish();
        for (descriptor, outcome) in planned.into_iter().chain(manifests) {
            say_planned(self.output, &descriptor.digest, descriptor.size, outcome)?;
        }
        if let (Some(before), Some(root)) = (self.before, plan.manifests.last()) {
            let digest = root.descriptor.digest;
            let planned = json!({ "event": "planned_digest", "digest": digest, "digest_before": before });
            let in_words = || say!("{digest} would be the image{}", told_before(Some(before)));
            self.output.format().say(&planned, in_words)?;
        }
        Ok(())
    }
}

fn told_before(before: Option<Digest>) -> String {
    before.map_or_else(String::new, |before| format!(", which was {before} before its layers were packed"))
}

/// A line of `--dry-run`.
pub(super) fn say_planned(
    output: OutputArgs,
    digest: &Digest,
    size: u64,
    outcome: &str,
) -> anyhow::Result<()> {
    let planned = json!({ "event": "planned", "digest": digest, "size": size, "outcome": outcome });
    output.format().say(&planned, || say!("{digest} {size} {outcome}"))
}

/// Until it is done or somebody presses Ctrl-C. What has arrived stays, wherever it has.
pub(super) async fn unless_interrupted<T>(
    display: &Display,
    work: impl Future<Output = anyhow::Result<T>> + Unpin,
) -> anyhow::Result<T> {
    let done = tokio::select! {
        // Asked first: only from then on does a Ctrl-C end this by our rules and not by the system's.
        biased;
        _ = tokio::signal::ctrl_c() => Err(Interrupted.into()),
        done = work => done,
    };
    display.finish();
    done
}
