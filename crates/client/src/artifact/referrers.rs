//! Referrers: artifacts that have another one as their subject, such as signatures and attestations.

use std::collections::HashSet;

use overside_protocol::manifest::INDEX;
use overside_protocol::wire::Descriptor;
use serde_json::json;

use super::origin::Origin;
use super::plan::{MAX_BYTES, MAX_MANIFESTS, Plan, Walk};
use crate::registry::listings::referrers_tag;
use crate::registry::manifest::Manifest;
use crate::{Error, Repository, Result};

/// Signatures of signatures of signatures: nobody goes further.
const MAX_DISTANCE: usize = 4;

/// Plans the referrers of the manifests in the first plan, and theirs.
pub(super) async fn plan(origin: &Origin, target: Option<&Repository>, plans: &mut Vec<Plan>) -> Result<()> {
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
                    let plan = Walk::new(origin, target).run(manifest).await?;
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

/// Adds a referrer to the list under its subject's tag, where the registry keeps no list itself (distribution spec 1.1.1,
/// "Pushing Manifests with Subject"). Of two clients that do so at once one's entry may be lost, as the specification says.
pub(super) async fn add_to_tag(
    repository: &Repository,
    subject: &Descriptor,
    referrer: &Manifest,
) -> Result<()> {
    let mut listed = repository.tagged_referrers(&subject.digest).await?;
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
        repository.registry.unexpected(format!("a list of referrers that is none ({error})"))
    })?;
    let tag = referrers_tag(&subject.digest)?;
    repository.push_manifest(&index, Some(&tag)).await?;
    Ok(())
}
