//! Names inside an archive, and where links between them lead. Nothing here touches a file system.

use std::str::FromStr;

use overside_protocol::digest::Digest;

/// As it is looked up: without `.` and empty segments. None if it is absolute or has a `..`.
pub(super) fn inside(name: &str) -> Option<String> {
    if name.starts_with('/') || name.contains('\0') {
        return None;
    }
    let segments = name.split('/').filter(|segment| !matches!(*segment, "" | "."));
    let segments: Vec<_> = segments.collect();
    let is_inside = !segments.is_empty() && !segments.contains(&"..");
    is_inside.then(|| segments.join("/"))
}

/// Where a symbolic link leads, from the folder that it is in. None if that is outside of the archive.
pub(super) fn follow(link: &str, target: &str) -> Option<String> {
    if target.is_empty() || target.starts_with('/') || target.contains('\0') {
        return None;
    }
    let mut segments: Vec<_> = link.split('/').collect();
    segments.pop();
    for segment in target.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()?),
            segment => segments.push(segment),
        }
    }
    (!segments.is_empty()).then(|| segments.join("/"))
}

/// Where an image layout has a blob (image-spec 1.1, image-layout.md, "Blobs").
pub(super) fn of_blob(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// The digest that a name promises: `blobs/sha256/<hex>`.
pub(super) fn promised(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    Digest::from_str(&format!("{algorithm}:{hex}")).ok()
}

/// The digest that a config's name promises besides: `<hex>.json` (Docker), `sha256:<hex>` (kaniko). Any other name
/// promises nothing.
pub(super) fn promised_of_config(name: &str) -> Option<Digest> {
    let hex = name.strip_suffix(".json").unwrap_or(name);
    let bare = || ["sha256", "sha512"].iter().find_map(|algorithm| format!("{algorithm}:{hex}").parse().ok());
    promised(name).or_else(|| name.parse().ok()).or_else(bare)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_leads_outside(link in "[a-z/.]{0,12}", target in "[a-z/.]{0,20}") {
            let name = inside(&link);
            let followed = name.as_deref().and_then(|link| follow(link, &target));
            for name in name.into_iter().chain(followed) {
                prop_assert_eq!(inside(&name), Some(name));
            }
        }
    }

    #[test]
    fn links_lead_from_the_folder_they_are_in() {
        assert_eq!(follow("a/layer.tar", "../b/layer.tar").as_deref(), Some("b/layer.tar"));
        assert_eq!(follow("layer.tar", "b/./layer.tar").as_deref(), Some("b/layer.tar"));
        for outside in ["../../b", "/b", "../../../etc/passwd", "..", ""] {
            assert_eq!(follow("a/layer.tar", outside).as_deref(), None, "{outside}");
        }
    }
}
