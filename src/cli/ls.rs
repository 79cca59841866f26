//! `overside ls`: the repositories of a registry, or what is in one of them.

use std::str::FromStr;

use anyhow::bail;
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::stream::{self, StreamExt};
use overside_client::artifact::TITLE;
use overside_client::manifest::Manifest;
use overside_client::{ImageRef, ImageRefError, RegistryAddress, Repository, printable};
use overside_protocol::wire::Descriptor;
use serde::Serialize;
use serde_json::Value;

use super::BadUsage;
use super::advice::Advised;
use super::looks::list;
use super::output::ResultFormat;
use super::remote::RemoteArgs;
use crate::domain::digest::Digest;
use crate::domain::media_type::MediaType;
use crate::domain::reference::Reference;

/// Manifests that are read side by side.
const LOOKS_AT_ONCE: usize = 8;
/// When a manifest says that it was made (OCI image-spec, annotations.md).
const CREATED: &str = "org.opencontainers.image.created";
/// Configs that say when their image was made.
const IMAGE_CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
/// Tags have up to 128 characters; few have more than these, and the others are not lined up.
const MAX_WIDTH: usize = 24;

/// List the repositories of a registry that you may see, or the tags and files of a repository
///
/// Of a repository a line for each tag: its digest, its size in bytes, and when it was made, where that is told; and below
/// it one for each of its files or platforms.
#[derive(Debug, clap::Args)]
pub struct LsArgs {
    /// A registry, such as registry.example or localhost:5000, or a repository, such as team/data, with or without a
    /// tag. Without a slash, what has a dot or a port is a registry [default: --server]
    #[arg(value_name = "REGISTRY|NAME[:TAG]")]
    place: Option<Place>,
    /// List the blobs of the repository that no manifest names, instead: `overside rm --blob` deletes them
    #[arg(long, requires = "place")]
    blobs: bool,
    #[command(flatten)]
    format: ResultFormat,
    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Debug, Clone)]
enum Place {
    Registry(RegistryAddress),
    Repository(ImageRef),
}

impl FromStr for Place {
    type Err = ImageRefError;

    /// As names begin with a host: by a dot, a port or `localhost`, or the scheme of a URL.
    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let is_whole = !rest.trim_end_matches('/').contains('/');
        let port = rest.trim_end_matches('/').rsplit_once(':').map(|(_, port)| port);
        let has_port =
            port.is_some_and(|port| !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()));
        let is_host = rest.len() < text.len()
            || rest == "localhost"
            || has_port
            || (port.is_none() && rest.contains('.'));
        if is_whole && is_host {
            Ok(Self::Registry(text.parse()?))
        } else {
            Ok(Self::Repository(text.parse()?))
        }
    }
}

/// A tag, as much of it as the registry tells.
#[derive(Debug, Serialize)]
struct Entry {
    tag: Option<String>,
    digest: Digest,
    media_type: MediaType,
    /// Of what is below it, in bytes. An index does not say.
    size: Option<u64>,
    created: Option<DateTime<Utc>>,
    files: Vec<Part>,
}

/// A file of an artifact or a platform of an index.
#[derive(Debug, Serialize)]
struct Part {
    name: String,
    digest: Digest,
    size: u64,
}

pub(super) async fn run(args: LsArgs) -> anyhow::Result<()> {
    let url = match &args.place {
        Some(Place::Repository(name)) if args.blobs => return blobs(&args, name).await,
        Some(Place::Repository(name)) => return repository(&args, name).await,
        Some(Place::Registry(registry)) => registry.url(),
        None => &args.remote.server,
    };
    list(&args.remote.registry(url).await?.catalog().await?, args.format)
}

/// What `put NAME` without a tag leaves, and pushes that were never finished.
async fn blobs(args: &LsArgs, name: &ImageRef) -> anyhow::Result<()> {
    if name.reference().is_some() {
        return Err(
            BadUsage::new("blobs that no manifest names have no tag; write the repository alone").into()
        );
    }
    let Some(mut blobs) = args.remote.repository(name).await?.blobs().await? else {
        bail!(
            "there is no repository {}, or you may not read it, or the registry lists no blobs",
            name.repository()
        );
    };
    blobs.retain(|blob| !blob.in_manifest);
    args.format.say(&blobs, || {
        for blob in &blobs {
            let since = blob.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            say!("{} {} {since}", name.with_reference(Some(Reference::Digest(blob.digest))), blob.size);
        }
    })
}

async fn repository(args: &LsArgs, name: &ImageRef) -> anyhow::Result<()> {
    let repository = args.remote.repository(name).await?;
    let references: Vec<Reference> = if let Some(reference) = name.reference() {
        vec![reference.clone()]
    } else {
        let Some(tags) = repository.tags().await? else {
            bail!("the registry has no repository {}, or you may not read it", name.repository());
        };
        tags.iter().filter_map(|tag| tag.parse().ok()).map(Reference::Tag).collect()
    };
    let looks = references.iter().map(|reference| look(&repository, reference));
    let looked: Vec<_> = stream::iter(looks).buffered(LOOKS_AT_ONCE).collect().await;
    let (mut entries, mut unread) = (Vec::with_capacity(looked.len()), 0);
    for (reference, entry) in references.iter().zip(looked) {
        match entry {
            Ok(Some(entry)) => entries.push(entry),
            // Deleted since it was listed.
            Ok(None) if name.reference().is_none() => {}
            Ok(None) => bail!("there is no {name}, or you may not see it"),
            Err(error) => {
                complain!("error: {}: {}", name.with_reference(Some(reference.clone())), Advised(&error));
                unread += 1;
            }
        }
    }
    args.format.say(&entries, || say_entries(&entries))?;
    if unread > 0 {
        bail!("{unread} of {} tags could not be read", references.len());
    }
    Ok(())
}

fn say_entries(entries: &[Entry]) {
    let name = |entry: &Entry| entry.tag.clone().unwrap_or_else(|| "-".to_owned());
    let width = entries.iter().map(|entry| name(entry).len()).max().unwrap_or_default().min(MAX_WIDTH);
    for entry in entries {
        let size = entry.size.map_or_else(|| "-".to_owned(), |size| size.to_string());
        let created = entry.created.map(|created| created.to_rfc3339_opts(SecondsFormat::Secs, true));
        say!("{:width$} {} {size} {}", name(entry), entry.digest, created.as_deref().unwrap_or("-"));
        for part in &entry.files {
            say!("  {} {} {}", part.digest, part.size, printable(&part.name));
        }
    }
}

async fn look(repository: &Repository, reference: &Reference) -> anyhow::Result<Option<Entry>> {
    let Some(manifest) = repository.manifest(reference).await? else { return Ok(None) };
    let tag = match reference {
        Reference::Tag(tag) => Some(tag.to_string()),
        Reference::Digest(_) => None,
    };
    let is_index = !manifest.manifests.is_empty();
    let size = manifest.layers.iter().chain(&manifest.config).map(|blob| blob.size);
    Ok(Some(Entry {
        tag,
        digest: manifest.descriptor.digest,
        media_type: manifest.descriptor.media_type.clone(),
        size: (!is_index).then(|| size.fold(0, u64::saturating_add)),
        created: created(repository, &manifest).await,
        files: parts(&manifest),
    }))
}

fn parts(manifest: &Manifest) -> Vec<Part> {
    let platform = |child: &Descriptor| child.platform.as_ref().map(ToString::to_string);
    let files = manifest.layers.iter().filter_map(|layer| Some((layer, layer.annotation(TITLE)?.to_owned())));
    let platforms =
        manifest.manifests.iter().map(|child| (child, platform(child).unwrap_or_else(|| "-".to_owned())));
    let part = |(descriptor, name): (&Descriptor, String)| Part {
        name,
        digest: descriptor.digest,
        size: descriptor.size,
    };
    files.chain(platforms).map(part).collect()
}

/// What the manifest says of it, or else an image's config.
async fn created(repository: &Repository, manifest: &Manifest) -> Option<DateTime<Utc>> {
    let payload: Value = serde_json::from_slice(&manifest.payload).ok()?;
    if let Some(told) = payload["annotations"][CREATED].as_str() {
        return told.parse().ok();
    }
    let config =
        manifest.config.as_ref().filter(|config| IMAGE_CONFIGS.contains(&config.media_type.as_str()))?;
    // A date alone is no reason to fail.
    let config = repository.small_blob(config).await.ok()?;
    let config: Value = serde_json::from_slice(&config).ok()?;
    config["created"].as_str()?.parse().ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use super::*;

    #[test]
    fn a_registry_has_a_dot_or_a_port_and_nothing_behind_it() {
        for registry in [
            "registry.example",
            "localhost",
            "localhost:5000",
            "[::1]:5000",
            "http://registry",
            "https://r.x/",
        ] {
            assert!(matches!(registry.parse().unwrap(), Place::Registry(_)), "{registry}");
        }
        for name in
            ["team", "team/data", "data:v1", "localhost:5000/data", "http://registry/data", "team/data:1.0"]
        {
            assert!(matches!(name.parse().unwrap(), Place::Repository(_)), "{name}");
        }
    }
}
