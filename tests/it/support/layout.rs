//! Images as a build leaves them on the disk: folders in the OCI image layout (image-spec 1.1, image-layout.md).

use std::fs;
use std::path::{Path, PathBuf};

use crc_fast::CrcAlgorithm::Crc32IsoHdlc;
use serde_json::{Value, json};

use super::api::{content, digest_of};

pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Unit of the tar format, in bytes.
const TAR_BLOCK: usize = 512;
/// Most bytes that one stored block of DEFLATE has (RFC 1951 §3.2.4).
const STORED_BLOCK: usize = 0xffff;

/// How layers are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Tar,
    TarGzip,
}

/// A folder in the OCI image layout.
#[derive(Debug)]
pub struct Layout {
    folder: PathBuf,
    layers: usize,
}

impl Layout {
    pub fn new(folder: PathBuf) -> Self {
        fs::create_dir_all(folder.join("blobs/sha256")).expect("a folder of our own");
        let version = json!({ "imageLayoutVersion": "1.0.0" });
        fs::write(folder.join("oci-layout"), version.to_string()).expect("a file of our own");
        Self { folder, layers: 0 }
    }

    /// Its path.
    pub fn folder(&self) -> &str {
        self.folder.to_str().expect("a path of ours is text")
    }

    /// Where `skopeo` finds the image of this tag.
    pub fn reference(&self, tag: &str) -> String {
        format!("oci:{}:{tag}", self.folder.display())
    }

    /// An image whose layers have one file of about `sizes` bytes each, like no other's of this layout; says what an
    /// index tells of it.
    pub fn image(&mut self, architecture: &str, packing: Packing, sizes: &[usize]) -> Value {
        let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
        for size in sizes {
            self.layers += 1;
            // Content depends on its length alone.
            let archive = tar(&format!("srv/{}.bin", self.layers), &content(size + self.layers));
            diff_ids.push(digest_of(&archive));
            layers.push(match packing {
                Packing::Tar => self.blob("application/vnd.oci.image.layer.v1.tar", &archive),
                Packing::TarGzip => self.blob("application/vnd.oci.image.layer.v1.tar+gzip", &gzip(&archive)),
            });
        }
        let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
        let config = json!({ "architecture": architecture, "os": "linux", "config": {}, "rootfs": rootfs });
        let config = self.blob(CONFIG, config.to_string().as_bytes());
        let manifest = json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers });
        let mut descriptor = self.blob(IMAGE, manifest.to_string().as_bytes());
        descriptor["platform"] = json!({ "architecture": architecture, "os": "linux" });
        descriptor
    }

    /// One image for several platforms.
    pub fn index(&self, images: &[Value]) -> Value {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": images });
        self.blob(INDEX, index.to_string().as_bytes())
    }

    /// Says what this layout is asked for by; its only tag.
    pub fn tag(&self, tag: &str, mut descriptor: Value) {
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
        fs::write(self.folder.join("index.json"), index.to_string()).expect("a file of our own");
    }

    /// The bytes of what a descriptor describes.
    pub fn read(&self, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().expect("a digest");
        let hex = digest.strip_prefix("sha256:").expect("the only algorithm of this layout");
        fs::read(blobs(&self.folder).join(hex)).expect("a blob of this layout")
    }

    /// Another folder has the same blobs, byte by byte, and no others.
    #[track_caller]
    pub fn assert_same_as(&self, other: &Path) {
        assert_eq!(names(&self.folder), names(other));
        for name in names(other) {
            let [ours, theirs] = [&*self.folder, other].map(|folder| fs::read(blobs(folder).join(&name)));
            assert!(ours.expect("a blob") == theirs.expect("a blob"), "{name}");
        }
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest_of(bytes);
        let name = digest.to_string().replace("sha256:", "");
        fs::write(blobs(&self.folder).join(name), bytes).expect("a file of our own");
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }
}

fn blobs(folder: &Path) -> PathBuf {
    folder.join("blobs/sha256")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(blobs(folder)).expect("a layout");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("a blob").file_name().display().to_string()).collect();
    names.sort();
    names
}

/// An archive of one file (POSIX.1-1988, ustar).
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; TAR_BLOCK];
    let mut put = |at: usize, field: &str| header[at..at + field.len()].copy_from_slice(field.as_bytes());
    put(0, name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", content.len()));
    put(136, "00000000000");
    // The checksum counts itself as spaces.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let checksum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{checksum:06o}\0 ").as_bytes());

    let mut archive = [&header[..], content].concat();
    archive.resize(archive.len().next_multiple_of(TAR_BLOCK) + 2 * TAR_BLOCK, 0);
    archive
}

/// RFC 1952 around stored blocks: random bytes do not get shorter, and no client has a reason to pack them again.
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut stored = content.chunks(STORED_BLOCK).peekable();
    while let Some(block) = stored.next() {
        let length = u16::try_from(block.len()).expect("a block that fits");
        packed.push(u8::from(stored.peek().is_none()));
        packed.extend(length.to_le_bytes());
        packed.extend((!length).to_le_bytes());
        packed.extend(block);
    }
    let checksum = u32::try_from(crc_fast::checksum(Crc32IsoHdlc, content)).expect("32 bits");
    packed.extend(checksum.to_le_bytes());
    packed.extend(u32::try_from(content.len()).expect("a small archive").to_le_bytes());
    packed
}
