//! All of a repository. Registries have no request for it, so it is every manifest that can be found there.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use overside_client::Repository;

use super::{RmArgs, confirm, say_gone};
use crate::cli::advice::advised;
use crate::domain::digest::Digest;
use crate::domain::reference::{Reference, Tag};

pub(super) async fn remove(args: &RmArgs, repository: &Repository) -> anyhow::Result<()> {
    let name = &args.name;
    let Some(tagged) = repository.tags_with_digests().await? else {
        bail!("there is no repository {name}, or you may not see it");
    };
    if tagged.is_empty() {
        bail!("{name} has no tags, and what has none is on no list; delete it by its digest");
    }
    let roots = tagged.iter().map(|(_, digest)| *digest).collect();
    let manifests = parents_first(below(repository, roots).await?);
    if args.dry_run {
        let tags: Vec<Tag> = tagged.into_iter().map(|(tag, _)| tag).collect();
        say_gone(args, &tags, &manifests);
        return Ok(());
    }
    let (tags, all) = (tagged.len(), manifests.len());
    confirm(args, &format!("all of {name} goes, with {tags} tags and {all} manifests"))?;
    // One that stays keeps none of the others: an index without a tag may list it, which is on no list itself.
    let (mut gone, mut stays) = (Vec::with_capacity(all), Vec::new());
    for digest in manifests {
        match repository.delete_manifest(&digest).await {
            Ok(_) => gone.push(digest),
            Err(error) => stays.push(format!("{digest}: {}", advised(&error))),
        }
    }
    let among: BTreeSet<_> = gone.iter().copied().collect();
    let tags = tagged.into_iter().filter(|(_, digest)| among.contains(digest)).map(|(tag, _)| tag);
    let tags: Vec<_> = tags.collect();
    say_gone(args, &tags, &gone);
    if !stays.is_empty() {
        bail!("{} manifests of {name} stay:\n{}", stays.len(), stays.join("\n"));
    }
    Ok(())
}

/// Everything that can be found from these, each with the manifests that it lists.
async fn below(
    repository: &Repository,
    mut unseen: Vec<Digest>,
) -> anyhow::Result<BTreeMap<Digest, Vec<Digest>>> {
    let mut found = BTreeMap::new();
    while let Some(digest) = unseen.pop() {
        if found.contains_key(&digest) {
            continue;
        }
        // An index may list what was never pushed, or is deleted.
        let Some(manifest) = repository.manifest(&Reference::Digest(digest)).await? else { continue };
        let children: Vec<_> = manifest.manifests.iter().map(|child| child.digest).collect();
        let about = repository.referrers(&digest, None).await?;
        unseen.extend(children.iter().copied().chain(about.into_iter().map(|referrer| referrer.digest)));
        found.insert(digest, children);
    }
    Ok(found)
}

/// An index before what it lists: registries may refuse to delete that first.
fn parents_first(mut found: BTreeMap<Digest, Vec<Digest>>) -> Vec<Digest> {
    let mut order = Vec::with_capacity(found.len());
    while !found.is_empty() {
        let listed: BTreeSet<_> = found.values().flatten().copied().collect();
        let (next, rest): (BTreeMap<_, _>, _) =
            found.into_iter().partition(|(digest, _)| !listed.contains(digest));
        if next.is_empty() {
            // No digest is below itself, unless a registry lies.
            order.extend(rest.into_keys());
            return order;
        }
        order.extend(next.into_keys());
        found = rest;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Algorithm;
    use crate::domain::hash::Hasher;

    #[test]
    fn an_index_goes_before_what_it_lists() {
        let digest = |text: &str| Hasher::digest(Algorithm::Sha256, text.as_bytes());
        let (of_all, inner, image) = (digest("outer"), digest("inner"), digest("image"));
        let found = [(image, vec![]), (inner, vec![image]), (of_all, vec![image, inner])].into();
        assert_eq!(parents_first(found), [of_all, inner, image]);
    }
}
