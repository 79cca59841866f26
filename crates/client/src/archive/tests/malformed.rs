//! Archives with one thing wrong each, and words that its error has to have. Needs nothing of this crate either.

use std::path::Path;

use serde_json::{Value, json};
use tar::EntryType;

use super::makers::{
    BLOCK, Files, IMAGE, INDEX, LAYER, Layout, Tar, bzip2, config, digest_of, greedy_xz, gzip, header,
    hex_of, image_list, layer, named, saved, xz, zstd,
};

pub struct Malformed {
    pub what: &'static str,
    pub archive: Vec<u8>,
    pub told: &'static str,
}

fn case(what: &'static str, told: &'static str, archive: Vec<u8>) -> Malformed {
    Malformed { what, archive, told }
}

/// Every malformed archive that is a file.
pub fn all() -> Vec<Malformed> {
    let mut all = bytes();
    all.extend(entries());
    all.extend(links());
    all.extend(lists());
    all.extend(layouts());
    all
}

/// Makes a folder what `files` say.
pub fn unpack(folder: &Path, files: &Files) {
    for (name, content) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("inside of the folder")).expect("a folder of our own");
        std::fs::write(path, content).expect("a file of our own");
    }
}

fn simple() -> Files {
    saved("app:v1", &["one", "two"])
}

/// The same with other content in one file.
fn with(mut files: Files, name: &str, content: &[u8]) -> Vec<u8> {
    match files.iter_mut().find(|(other, _)| other == name) {
        Some((_, old)) => content.clone_into(old),
        None => files.push((name.to_owned(), content.to_owned())),
    }
    Tar::of(&files).end()
}

fn without(mut files: Files, suffix: &str) -> Vec<u8> {
    files.retain(|(name, _)| !name.ends_with(suffix));
    Tar::of(&files).end()
}

fn half(mut packed: Vec<u8>) -> Vec<u8> {
    packed.truncate(packed.len() / 2);
    packed
}

fn damaged(mut packed: Vec<u8>) -> Vec<u8> {
    let middle = packed.len() / 2;
    packed[middle..middle + 8].fill(0xff);
    packed
}

/// What the bytes are wrong in.
fn bytes() -> Vec<Malformed> {
    let whole = Tar::of(&simple()).end();
    let packed = gzip(&whole);
    let mut header_damaged = whole.clone();
    let second = 2 * BLOCK;
    header_damaged[second] ^= 1;
    vec![
        case("no bytes", "is empty", Vec::new()),
        case("an empty tar", "no image in it", Tar::default().end()),
        case("no tar", "is no image archive", vec![b'x'; 4096]),
        case("a short text", "is no image archive", b"hello".to_vec()),
        case("a packed text", "is no image archive", gzip(b"hello, this is no tar")),
        case("cut in a layer", "is truncated", whole[..whole.len() - 4 * BLOCK - 300].to_vec()),
        case("cut between entries", "is truncated", Tar::of(&simple()[..2].to_vec()).0),
        case("a packed one, cut", "is truncated", half(packed.clone())),
        case("one packed with zstd, cut", "is truncated", zstd(&whole)[..whole.len() / 2].to_vec()),
        case("one packed with xz, cut", "is truncated", half(xz(&whole))),
        case("one packed with bzip2, cut", "is truncated", half(bzip2(&whole))),
        case("a packed one, damaged", "is damaged", damaged(packed.clone())),
        case("one packed with xz, damaged", "is damaged", damaged(xz(&whole))),
        case("one packed with bzip2, damaged", "is damaged", damaged(bzip2(&whole))),
        case("xz with a dictionary of 4 GiB", "larger than 128 MiB", greedy_xz(&whole)),
        case("a damaged header", "damaged at byte 1024", header_damaged),
    ]
}

/// What an entry is wrong in.
fn entries() -> Vec<Malformed> {
    let sparse = Tar::of(&simple()).entry(EntryType::GNUSparse, "holes", "", b"").end();
    let pax = b"22 GNU.sparse.major=1\n";
    let pax = Tar::of(&simple()).entry(EntryType::XHeader, "x", "", pax).file("holes", b"").end();
    let broken_pax = Tar::of(&simple()).entry(EntryType::XHeader, "x", "", b"999 path=a\n").end();
    let two = Tar::of(&simple()).file("manifest.json", b"[]").end();
    let mut same_size = simple();
    let (name, mut list) = same_size.pop().expect("manifest.json comes last");
    same_size.push((name.clone(), list.clone()));
    *list.last_mut().expect("a bracket") = b' ';
    let other = Tar::of(&same_size).file(&name, &list).end();
    let mut huge_name = Tar::of(&simple());
    huge_name.0.extend(header(EntryType::GNULongName, "././@LongLink", "", 1 << 33));
    vec![
        case("a sparse entry", "holes is a sparse entry", sparse),
        case("a sparse entry of pax", "holes is a sparse entry", pax),
        case("a pax header that is none", "a pax header", broken_pax),
        case("two lists", "manifest.json twice", two),
        case("two lists of one size", "manifest.json twice", other.clone()),
        case("two lists, packed", "manifest.json twice", gzip(&other)),
        case("a name without end", "an extended header has 8589934592 bytes", huge_name.0),
    ]
}

/// An image whose layer is a link.
fn linked(make: impl FnOnce(Tar) -> Tar) -> Vec<u8> {
    let mut files = simple();
    files.retain(|(name, _)| name != "two/layer.tar");
    make(Tar::of(&files)).end()
}

fn links() -> Vec<Malformed> {
    let chain = |tar: Tar| {
        (0..9).fold(tar.link("two/layer.tar", "0"), |tar, hop| {
            tar.link(&format!("two/{hop}"), &(hop + 1).to_string())
        })
    };
    let chain = linked(|tar| chain(tar).file("two/9", &layer("two")));
    let circle = linked(|tar| tar.link("two/layer.tar", "../two/b").link("two/b", "layer.tar"));
    let itself = linked(|tar| tar.hard_link("two/layer.tar", "two/layer.tar"));
    let outside = "leads out of the archive";
    vec![
        case("a link that climbs out", outside, linked(|tar| tar.link("two/layer.tar", "../../etc/passwd"))),
        case("an absolute link", outside, linked(|tar| tar.link("two/layer.tar", "/etc/passwd"))),
        case("a hard link that climbs", outside, linked(|tar| tar.hard_link("two/layer.tar", "../x"))),
        case("a link to nothing", "which is not in", linked(|tar| tar.link("two/layer.tar", "gone"))),
        case("links in a circle", "or in a circle", circle),
        case("a link to itself", "or in a circle", itself),
        case("a chain of links", "more than 8 links", chain),
    ]
}

/// What `manifest.json` or a config is wrong in.
fn lists() -> Vec<Malformed> {
    let list =
        |config: &str, layers: &[&str]| with(simple(), "manifest.json", &image_list("a:b", config, layers).1);
    let name = simple()[0].0.clone();
    let other_layer = with(simple(), "two/layer.tar", &layer("three"));
    let mut huge = simple();
    huge[0].1.resize(5 * 1024 * 1024, b' ');
    let mut packed_layer = gzip(&layer("one"));
    packed_layer.truncate(packed_layer.len() - 12);
    let broken = with(simple(), "one/layer.tar", &packed_layer);
    let greedy = with(simple(), "one/layer.tar", &greedy_xz(&layer("one")));
    let array_config = vec![("c".to_owned(), b"[[]]".to_vec()), image_list("a", "c", &[])];
    let sha512 = format!("sha512:{}", "a".repeat(128));
    let sha512 =
        vec![("c".to_owned(), config(&[sha512])), ("l".to_owned(), layer("l")), image_list("a", "c", &["l"])];
    let misnamed =
        with(simple(), &name, &config(&[digest_of(&layer("one")), digest_of(&layer("two"))]).repeat(2));
    vec![
        case("a config outside", "only what is inside", list("../config.json", &[])),
        case("an absolute layer", "only what is inside", list(&name, &["/etc/passwd", "two/layer.tar"])),
        case(
            "a layer outside",
            "only what is inside",
            list(&name, &["one/layer.tar", "one/../../layer.tar"]),
        ),
        case("no config", "the config", without(simple(), &name)),
        case("no layer", "the layer two/layer.tar is not in", without(simple(), "two/layer.tar")),
        case("a layer too few", "has 1 layers, but 2 diff ids", list(&name, &["one/layer.tar"])),
        case("another layer", "not the diff id", other_layer.clone()),
        case("another layer, packed", "not the diff id", gzip(&other_layer)),
        case("a layer that is damaged", "one/layer.tar cannot be unpacked", broken),
        case(
            "a layer with a dictionary of 4 GiB",
            "one/layer.tar cannot be unpacked: its dictionary",
            greedy,
        ),
        case("a huge config", "more than the 4194304", Tar::of(&huge).end()),
        case("a huge config, packed", "more than the 4194304", gzip(&Tar::of(&huge).end())),
        case("a huge list", "more than the 4194304", with(simple(), "manifest.json", &vec![b'['; 5 << 20])),
        case("a list that is an object", "no JSON array", with(simple(), "manifest.json", b"{}")),
        case("a list of nothing", "no image in it", with(simple(), "manifest.json", b"[]")),
        case("a list that ends early", "manifest.json is not", with(simple(), "manifest.json", b"[{")),
        case("a config that is an array", "c is no JSON object", Tar::of(&array_config).end()),
        case("another diff id by SHA-512", "not the diff id sha512", Tar::of(&sha512).end()),
        case("a config under another's name", "has the digest", misnamed),
    ]
}

fn layout(make: impl FnOnce(&mut Layout) -> Vec<Value>) -> Files {
    let mut layout = Layout::default();
    let roots = make(&mut layout);
    layout.end(&roots)
}

/// What is wrong in an image layout.
fn layouts() -> Vec<Malformed> {
    let sound = || layout(|layout| vec![named(layout.simple("one"), "v1")]);
    let hex = hex_of(&layer("one"));
    let blob = format!("blobs/sha256/{hex}");
    let mut other = layer("one");
    other[BLOCK] ^= 1;
    let tar = |files: &Files| Tar::of(files).end();
    let mut platform = Value::Null;
    let incomplete = layout(|layout| {
        platform = layout.simple("two");
        layout.files.pop();
        platform["platform"] = json!({ "os": "linux", "architecture": "arm64", "variant": "v8" });
        vec![layout.index(&[platform.clone()])]
    });
    let deep = layout(|layout| {
        let image = layout.simple("one");
        vec![(0..10).fold(image, |below, _| layout.index(&[below]))]
    });
    let itself = layout(|layout| {
        let digest = digest_of(b"itself");
        let entry = json!({ "mediaType": INDEX, "digest": digest, "size": 0 });
        let mut index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
        let size = index.to_string().len() + 2;
        index["manifests"][0]["size"] = json!(size);
        layout.files.push((format!("blobs/sha256/{}", hex_of(b"itself")), index.to_string().into_bytes()));
        vec![index["manifests"][0].clone()]
    });
    let counts = layout(|layout| vec![layout.image(&[(LAYER, layer("one"))], &[])]);
    let diff_id = layout(|layout| vec![layout.image(&[(LAYER, layer("one"))], &[digest_of(b"x")])]);
    let shapeless = layout(|layout| vec![layout.json(IMAGE, &json!({ "schemaVersion": 2 }))]);
    let no_config = layout(|layout| {
        let image = layout.simple("one");
        layout.files.retain(|(name, _)| !name.contains(&hex_of(&config(&[digest_of(&layer("one"))]))));
        vec![image]
    });
    let huge = layout(|layout| vec![layout.blob(IMAGE, &vec![b' '; 5 << 20])]);
    let sized = layout(|layout| {
        let mut image = layout.simple("one");
        image["size"] = json!(7);
        vec![image]
    });
    let version = br#"{"imageLayoutVersion":"2.0.0"}"#;
    vec![
        case("no oci-layout", "no oci-layout file", without(sound(), "oci-layout")),
        case("another version", "version \"2.0.0\"", with(sound(), "oci-layout", version)),
        case("a layout file of an array", "no JSON object", with(sound(), "oci-layout", br#"["1.0.0"]"#)),
        case("an index of an array", "index.json is no manifest", with(sound(), "index.json", b"[]")),
        case("an index of nothing", "index.json lists no image", tar(&layout(|_| Vec::new()))),
        case("no blob", "the blob blobs/sha256/", without(sound(), &blob)),
        case("no config", "the blob blobs/sha256/", tar(&no_config)),
        case("another blob", "has the digest", with(sound(), &blob, &other)),
        case("another blob, packed", "has the digest", gzip(&with(sound(), &blob, &other))),
        case("a longer blob", "bytes, and", with(sound(), &blob, &layer("one").repeat(2))),
        case("another size of a manifest", "and 7 by what refers", tar(&sized)),
        case("no manifest of a platform", "for linux/arm64/v8 is not in the archive", tar(&incomplete)),
        case("indexes in indexes", "more than 8 deep", tar(&deep)),
        case("an index that lists itself", "has", tar(&itself)),
        case("no diff ids", "has 1 layers, but 0 diff ids", tar(&counts)),
        case("another diff id", "not the diff id", tar(&diff_id)),
        case("a manifest without a config", "no manifest that a registry takes", tar(&shapeless)),
        case("a huge manifest", "more than the 4194304", tar(&huge)),
    ]
}
