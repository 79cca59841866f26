//! Artifacts that are about others: signatures, lists of parts, attestations.

use std::collections::HashSet;

use serde_json::json;

use super::{CopyOptions, CopyReport, Origin, Plan, Target, Walk, send};
use crate::client::listings::referrers_tag;
use crate::client::manifest::Manifest;
use crate::client::progress::Progress;
use crate::client::{Error, Result};
use crate::domain::manifest::INDEX;
use crate::http::wire::Descriptor;

/// Signatures of signatures of signatures: nobody goes further.
const MAX_DISTANCE: usize = 4;

/// Copies what is about the manifests of a plan, and what is about that.
pub(super) async fn copy_referrers(
    origin: &Origin,
    plan: &Plan,
    target: &Target,
    options: &CopyOptions,
    progress: &Progress,
    report: &mut CopyReport,
) -> Result<()> {
    let (mut seen, mut subjects) = (HashSet::new(), Vec::new());
    subjects.extend(plan.manifests.iter().map(|manifest| manifest.descriptor.digest));
    subjects.extend(plan.present.iter().map(|descriptor| descriptor.digest));
    let target = Target { tag: None, ..target.clone() };
    for _ in 0..MAX_DISTANCE {
        let mut next = Vec::new();
        for subject in subjects {
            for referrer in origin.referrers(&subject).await? {
                if !seen.insert(referrer.digest) {
                    continue;
                }
                let manifest = origin.manifest(&referrer).await?;
                let known = (!options.recheck).then_some((&target.client, &target.repository));
                let plan = Walk::new(origin, known).run(manifest).await?;
                let more = send(origin, &plan, &target, options, progress).await?;
                report.add(more);
                next.push(referrer.digest);
            }
        }
        subjects = next;
    }
    Ok(())
}

/// Notes a referrer where the registry does not: in the list under the subject's tag (distribution spec 1.1.1,
/// "Pushing Manifests with Subject"). Two clients that do so at once may lose one's note, as the specification says.
pub(super) async fn note(target: &Target, subject: &Descriptor, referrer: &Manifest) -> Result<()> {
    let Target { client, repository, .. } = target;
    let mut listed = client.tagged_referrers(repository, &subject.digest).await?;
    if listed.iter().any(|known| known.digest == referrer.descriptor.digest) {
        return Ok(());
    }
    let annotations = serde_json::from_slice::<serde_json::Value>(&referrer.payload)
        .ok()
        .and_then(|mut manifest| manifest.get_mut("annotations").map(serde_json::Value::take))
        .filter(serde_json::Value::is_object);
    listed.push(Descriptor { annotations, ..referrer.descriptor.clone() });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": listed });
    let index = Manifest::read(index.to_string().into(), None, None).map_err(|error| {
        Error::protocol(&client.peer(), format!("a list of referrers that is none ({error})"))
    })?;
    let tag = referrers_tag(&subject.digest)?;
    client.push_manifest(repository, &index, Some(&tag)).await?;
    Ok(())
}

impl CopyReport {
    const fn add(&mut self, more: Self) {
        self.manifests += more.manifests;
        self.sent += more.sent;
        self.sent_bytes += more.sent_bytes;
        self.existed += more.existed;
        self.mounted += more.mounted;
        self.foreign += more.foreign;
    }
}
