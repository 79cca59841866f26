//! Which of an archive's images are pushed, and under which tags.

use anyhow::{anyhow, bail};
use overside_client::archive::{Archive, Image};
use overside_client::{ImageRef, artifact, printable};
use overside_protocol::wire::Platform;

use crate::domain::digest::Digest;
use crate::domain::reference::{Reference, Tag};

/// Of what an archive lacks so much is told.
const MAX_MISSING: usize = 5;

/// What is pushed.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub choices: Vec<Choice>,
    /// The name has the digest that the image has in the archive: nothing may change it.
    pub as_it_is: bool,
    /// What to say of it besides.
    pub notes: Vec<String>,
    /// Images that the archive does not have whole, beside others.
    pub lacking: Vec<anyhow::Error>,
}

/// A manifest of the archive, and the tag that it gets.
#[derive(Debug)]
pub(super) struct Choice {
    pub root: Digest,
    pub tag: Option<Tag>,
}

/// Which images the caller selects, and under which name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selection<'a> {
    pub image: Option<&'a str>,
    pub platform: Option<&'a Platform>,
    pub name: &'a ImageRef,
    /// Whether layers are compressed, so that digests may change.
    pub is_compressed: bool,
}

/// Which images go up, and as what; a digest in the name is what the image has to have.
pub(super) fn choose(archive: &Archive, selection: Selection<'_>) -> anyhow::Result<Wanted> {
    let images = archive.images();
    let is_wanted = |image: &&Image| match selection.image {
        None => true,
        Some(wanted) => {
            image.root.digest.to_string() == *wanted || image.names.iter().any(|name| name == wanted)
        }
    };
    let chosen: Vec<_> = images.iter().filter(is_wanted).collect();
    if chosen.is_empty() {
        bail!("the archive has no image {}; it has {}", selection.image.unwrap_or("at all"), listed(images));
    }
    let mut wanted = Wanted::default();
    let tagged = match selection.name.reference() {
        Some(Reference::Digest(digest)) if archive.manifest(digest).is_some() => {
            let choices = vec![Choice { root: *digest, tag: None }];
            return Ok(Wanted { choices, as_it_is: true, ..wanted });
        }
        Some(Reference::Digest(digest)) => match &chosen[..] {
            // It may be the digest that it gets when its layers are packed.
            [image] if selection.is_compressed => vec![(*image, None)],
            _ => bail!("the archive has no image {digest}; it has {}", listed(images)),
        },
        Some(Reference::Tag(tag)) => by_one_tag(archive, &chosen, tag, &mut wanted)?,
        None => by_their_tags(archive, &chosen)?,
    };
    let is_only = tagged.len() == 1;
    for (image, tag) in tagged {
        match root(archive, image, selection.platform, &mut wanted.notes) {
            Ok(root) => wanted.choices.push(Choice { root, tag }),
            Err(error) if is_only => return Err(error),
            Err(error) => wanted.lacking.push(error),
        }
    }
    match wanted.lacking.pop() {
        Some(error) if wanted.choices.is_empty() => return Err(error),
        error => wanted.lacking.extend(error),
    }
    Ok(wanted)
}

/// The image itself, or that of one platform.
fn root(
    archive: &Archive,
    image: &Image,
    platform: Option<&Platform>,
    notes: &mut Vec<String>,
) -> anyhow::Result<Digest> {
    let digest = image.root.digest;
    if let Some(platform) = platform {
        let index = archive.manifest(&digest);
        let entries = index.map_or(&image.whole, |index| &index.manifests);
        if index.is_some() && entries.is_empty() {
            return Ok(digest);
        }
        let found = artifact::select(entries, platform).map_err(|error| match lacked(image) {
            None => anyhow!(error),
            Some(lacked) => anyhow!(error).context(format!("the archive lacks {lacked}")),
        })?;
        return Ok(found.digest);
    }
    let Some(lacked) = lacked(image) else { return Ok(digest) };
    match &image.whole[..] {
        // So Docker pushes what it has for one platform alone.
        [whole] => {
            notes.push(format!(
                "{digest} is for several platforms, and the archive lacks {lacked}: what it has{} is pushed alone, {}",
                whole.platform.as_ref().map_or_else(String::new, |platform| format!(" for {platform}")),
                whole.digest
            ));
            Ok(whole.digest)
        }
        [] => bail!("{} cannot be pushed: the archive lacks {lacked}", called(image)),
        whole => {
            let there: Vec<_> =
                whole.iter().filter_map(|entry| entry.platform.as_ref()).map(ToString::to_string).collect();
            bail!(
                "{} cannot be pushed whole: the archive lacks {lacked}; choose one of {} with --platform",
                called(image),
                printable(&there.join(", "))
            )
        }
    }
}

/// What an archive lacks of an image, in words.
fn lacked(image: &Image) -> Option<String> {
    let told: Vec<_> = image.missing.iter().take(MAX_MISSING).map(ToString::to_string).collect();
    let more = image.missing.len() - told.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!told.is_empty()).then(|| format!("{}{more}", told.join(", ")))
}

/// Whether this is a signature or the like of another one in the archive: it has no tag, and goes along.
fn is_about_another(archive: &Archive, image: &Image) -> bool {
    let subject = archive.manifest(&image.root.digest).and_then(|manifest| manifest.subject.as_ref());
    image.names.is_empty() && subject.is_some_and(|subject| archive.manifest(&subject.digest).is_some())
}

/// The only image that can be meant, under this tag, with what is about it.
fn by_one_tag<'a>(
    archive: &Archive,
    chosen: &[&'a Image],
    tag: &Tag,
    wanted: &mut Wanted,
) -> anyhow::Result<Vec<(&'a Image, Option<Tag>)>> {
    let (about, others): (Vec<&Image>, Vec<&Image>) =
        chosen.iter().copied().partition(|image| is_about_another(archive, image));
    let (image, left) = match &others[..] {
        [image] => (*image, Vec::new()),
        [] => match chosen {
            [image] => return Ok(vec![(*image, Some(tag.clone()))]),
            _ => bail!("nothing in the archive can be {tag}; choose one of {} with --image", all(chosen)),
        },
        others => {
            let (named, left): (Vec<&Image>, Vec<&Image>) =
                others.iter().copied().partition(|image| !image.names.is_empty());
            let [image] = named[..] else {
                bail!(
                    "the archive has several images, which cannot all be {tag}: choose one of {} with --image, or leave the tag out to push each by its own",
                    all(chosen)
                )
            };
            (image, left)
        }
    };
    if !left.is_empty() {
        wanted.notes.push(format!("left out, because it has no name in the archive: {}", all(&left)));
    }
    Ok(std::iter::once((image, Some(tag.clone())))
        .chain(about.into_iter().map(|image| (image, None)))
        .collect())
}

/// Each by the tags that the archive has for it. What has none is pushed by its digest, beside others that have.
fn by_their_tags<'a>(
    archive: &Archive,
    chosen: &[&'a Image],
) -> anyhow::Result<Vec<(&'a Image, Option<Tag>)>> {
    let mut tagged: Vec<(&Image, Option<Tag>)> = Vec::new();
    let mut untagged = Vec::new();
    for image in chosen {
        let tags: Vec<_> = image.names.iter().filter_map(|name| tag_of(name)).collect();
        if tags.is_empty() {
            untagged.push(*image);
        }
        for tag in tags {
            if let Some((other, _)) = tagged.iter().find(|(_, taken)| taken.as_ref() == Some(&tag)) {
                if other.root.digest == image.root.digest {
                    continue;
                }
                bail!(
                    "two images of the archive have the tag {tag}; choose one of {} with --image",
                    all(chosen)
                );
            }
            tagged.push((image, Some(tag)));
        }
    }
    let (about, mut untagged): (Vec<_>, Vec<_>) =
        untagged.into_iter().partition(|image| is_about_another(archive, image));
    if tagged.is_empty() && untagged.len() > 1 {
        bail!(
            "no image in the archive has a tag: push one of {} with --image, and with a tag behind the name",
            all(chosen)
        );
    }
    if tagged.is_empty() {
        tagged
            .extend(untagged.pop().map(|image| "latest".parse().map(|tag| (image, Some(tag)))).transpose()?);
    }
    tagged.extend(about.into_iter().chain(untagged).map(|image| (image, None)));
    Ok(tagged)
}

/// Of `registry.example:5000/team/app:v1` or `v1` alone.
fn tag_of(name: &str) -> Option<Tag> {
    let last = name.rsplit('/').next()?;
    match last.rsplit_once(':') {
        Some((_, tag)) => tag.parse().ok(),
        None if name.contains('/') => None,
        None => last.parse().ok(),
    }
}

fn called(image: &Image) -> String {
    match &image.names[..] {
        [] => image.root.digest.to_string(),
        names => printable(&names.join(" = ")).into_owned(),
    }
}

fn listed(images: &[Image]) -> String {
    all(&images.iter().collect::<Vec<_>>())
}

fn all(images: &[&Image]) -> String {
    images.iter().map(|image| called(image)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::tag_of;

    #[test]
    fn a_tag_is_what_follows_the_last_colon_of_a_name() {
        for (name, tag) in [
            ("team/app:v1", Some("v1")),
            ("localhost:5000/app", None),
            ("localhost:5000/app:2", Some("2")),
            ("v1", Some("v1")),
            ("app:v 1", None),
        ] {
            assert_eq!(tag_of(name).map(|tag| tag.to_string()).as_deref(), tag, "{name}");
        }
    }
}
