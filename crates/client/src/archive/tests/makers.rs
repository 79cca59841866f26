//! Makers of image archives, sound and otherwise. They need nothing of this crate, so that stories can use them too.

use std::io::Write;

use bzip2::write::BzEncoder;
use flate2::Compression;
use flate2::write::GzEncoder;
use lzma_rust2::{XzOptions, XzWriter};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Unit of the tar format, in bytes.
pub const BLOCK: usize = 512;
/// Longest name in an entry's own header.
const NAME_LENGTH: usize = 100;

/// Files by their names, in order.
pub type Files = Vec<(String, Vec<u8>)>;

/// A tar in the making.
#[derive(Default)]
pub struct Tar(pub Vec<u8>);

impl Tar {
    pub fn of(files: &Files) -> Self {
        files.iter().fold(Self::default(), |tar, (name, content)| tar.file(name, content))
    }

    pub fn file(self, name: &str, content: &[u8]) -> Self {
        // What the old header has no room for comes before it, as GNU tar writes it.
        let (long, name) = name.split_at_checked(NAME_LENGTH).map_or(("", name), |(begin, _)| (name, begin));
        let named = if long.is_empty() {
            self
        } else {
            self.entry(EntryType::GNULongName, "././@LongLink", "", format!("{long}\0").as_bytes())
        };
        named.entry(EntryType::Regular, name, "", content)
    }

    pub fn link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, b"")
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, b"")
    }

    /// Any entry, and none of it checked.
    pub fn entry(mut self, kind: EntryType, name: &str, link: &str, content: &[u8]) -> Self {
        self.0.extend(header(kind, name, link, content.len() as u64));
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// With the two blocks that end it.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

pub fn header(kind: EntryType, name: &str, link: &str, size: u64) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header.as_bytes().to_vec()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// zstd around raw blocks: nothing here packs with it.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    // A skippable frame, then a frame of one segment whose size has four bytes, in raw blocks.
    const MOST: usize = 128 * 1024;
    let mut packed = vec![0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7, 0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    let length = u32::try_from(bytes.len()).expect("a small archive");
    packed.extend(length.to_le_bytes());
    let mut blocks = bytes.chunks(MOST).peekable();
    while let Some(block) = blocks.next() {
        let is_last = u32::from(blocks.peek().is_none());
        packed.extend(
            &((u32::try_from(block.len()).expect("a small block") << 3) | is_last).to_le_bytes()[..3],
        );
        packed.extend(block);
    }
    packed
}

pub fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = XzWriter::new(Vec::new(), XzOptions::with_preset(0)).expect("memory takes everything");
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// The same, that asks for a dictionary of 4 GiB.
pub fn greedy_xz(bytes: &[u8]) -> Vec<u8> {
    let mut packed = xz(bytes);
    // A block's header of 12 bytes: size, flags, LZMA2 with one byte of properties, padding, and its CRC32.
    let header = &mut packed[12..24];
    assert_eq!((header[0], header[2], header[3]), (2, 0x21, 1));
    header[4] = 40;
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &header[..8]);
    header[8..].copy_from_slice(&u32::try_from(sum).expect("32 bits").to_le_bytes());
    packed
}

pub fn hex_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex_of(bytes))
}

/// A layer of one file.
pub fn layer(text: &str) -> Vec<u8> {
    Tar::default().file("srv/text", text.as_bytes()).end()
}

pub fn config(diff_ids: &[String]) -> Vec<u8> {
    let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
    json!({ "architecture": "amd64", "os": "linux", "rootfs": rootfs }).to_string().into_bytes()
}

pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len() })
}

/// The files of an OCI image layout.
#[derive(Default)]
pub struct Layout {
    pub files: Files,
}

impl Layout {
    pub fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        self.files.push((format!("blobs/sha256/{}", hex_of(bytes)), bytes.to_vec()));
        descriptor(media_type, bytes)
    }

    pub fn json(&mut self, media_type: &str, value: &Value) -> Value {
        self.blob(media_type, value.to_string().as_bytes())
    }

    pub fn image(&mut self, layers: &[(&str, Vec<u8>)], diff_ids: &[String]) -> Value {
        let config = self.blob(CONFIG, &config(diff_ids));
        let layers: Vec<_> = layers.iter().map(|(media_type, bytes)| self.blob(media_type, bytes)).collect();
        self.json(
            IMAGE,
            &json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers }),
        )
    }

    /// An image of one plain layer.
    pub fn simple(&mut self, text: &str) -> Value {
        let layer = layer(text);
        let diff_id = digest_of(&layer);
        self.image(&[(LAYER, layer)], &[diff_id])
    }

    pub fn index(&mut self, manifests: &[Value]) -> Value {
        self.json(INDEX, &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }))
    }

    pub fn end(mut self, roots: &[Value]) -> Files {
        self.files.push(("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
        let index = json!({ "schemaVersion": 2, "manifests": roots });
        self.files.push(("index.json".to_owned(), index.to_string().into_bytes()));
        self.files
    }
}

pub fn named(mut descriptor: Value, name: &str) -> Value {
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    descriptor
}

/// A `manifest.json` of one image.
pub fn image_list(name: &str, config: &str, layers: &[&str]) -> (String, Vec<u8>) {
    let list = json!([{ "Config": config, "RepoTags": [name], "Layers": layers }]);
    ("manifest.json".to_owned(), list.to_string().into_bytes())
}

/// What `docker save` wrote before version 25: a folder for each layer.
pub fn saved(name: &str, texts: &[&str]) -> Files {
    let layers: Vec<_> = texts.iter().map(|text| layer(text)).collect();
    let diff_ids: Vec<_> = layers.iter().map(|layer| digest_of(layer)).collect();
    let config = config(&diff_ids);
    let mut files = vec![(format!("{}.json", hex_of(&config)), config)];
    for (layer, text) in layers.into_iter().zip(texts) {
        files.push((format!("{text}/VERSION"), b"1.0".to_vec()));
        files.push((format!("{text}/layer.tar"), layer));
    }
    let names: Vec<_> = texts.iter().map(|text| format!("{text}/layer.tar")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    files.push(image_list(name, &files[0].0, &names));
    files
}
