//! Artifacts that are about others: signatures, lists of parts, attestations.

use std::collections::HashSet;

use overside_protocol::manifest::INDEX;
use overside_protocol::wire::Descriptor;
use serde_json::json;

use super::plan::Walk;
use super::plan::{MAX_BYTES, MAX_MANIFESTS};
use super::{CopyOptions, Origin, Plan, Target};
use crate::registry::listings::referrers_tag;
use crate::registry::manifest::Manifest;
use crate::{Error, Result};

/// Signatures of signatures of signatures: nobody goes further.
const MAX_DISTANCE: usize = 4;

/// Plans what is about the manifests of the first plan, and what is about that.
pub(super) async fn plan(
    origin: &Origin,
    target: &Target,
    options: &CopyOptions,
    plans: &mut Vec<Plan>,
) -> Result<()> {
    let known = (!options.recheck).then_some((&target.client, &target.repository));
    let (mut seen, mut subjects, mut bytes) = (HashSet::new(), Vec::new(), 0);
    for plan in &*plans {
        subjects.extend(plan.manifests.iter().map(|manifest| manifest.descriptor.digest));
        subjects.extend(plan.present.iter().map(|descriptor| descriptor.digest));
    }
    for _ in 0..MAX_DISTANCE {
        let mut next = Vec::new();
        for subject in subjects {
            for referrer in origin.referrers(&subject).await? {
                if seen.insert(referrer.digest) {
                    let manifest = origin.manifest(&referrer).await?;
                    let plan = Walk::new(origin, known).run(manifest).await?;
                    bytes += plan.bytes();
                    if plans.len() > MAX_MANIFESTS || bytes > MAX_BYTES {
                        return Err(Error::TooDeep(subject));
                    }
                    plans.push(plan);
                    next.push(referrer.digest);
                }
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
    let index = Manifest::read(index.to_string().into(), None, None)
        .map_err(|error| client.unexpected(format!("a list of referrers that is none ({error})")))?;
    let tag = referrers_tag(&subject.digest)?;
    client.push_manifest(repository, &index, Some(&tag)).await?;
    Ok(())
}
