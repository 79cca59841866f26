//! Archives as builds and other clients leave them: what is whole is pushed as it is, and what is missing is told.

use std::fs;
use std::sync::Arc;

use futures_util::future::FutureExt;
use serde_json::{Value, json};

use super::NAME;
use super::malformed::makers::{
    Files, IMAGE, LAYER, Layout, Tar, bzip2, digest_of, gzip, image_list, layer, named, saved, xz,
};
use crate::support::Stack;
use crate::support::api::Repository;
use crate::support::command_line::{CommandLine, digest};
use crate::support::process::Server;
use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    vec![
        ("archives_and_layers_in_xz_and_bzip2_are_pushed", |s| packed(s).boxed()),
        ("what_docker_saves_for_one_platform_keeps_its_digest", |s| one_platform(s).boxed()),
        ("of_a_sparse_layout_what_is_whole_is_pushed_and_the_rest_told", |s| sparse(s).boxed()),
        ("what_has_no_tag_goes_along_by_its_digest", |s| untagged(s).boxed()),
        ("an_empty_layout_says_so", |s| empty(s).boxed()),
    ]
}

async fn machine(stack: &Arc<Stack>) -> (Server, CommandLine) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(stack, "ours", server.base_url());
    (server, ours)
}

async fn tagged(ours: &CommandLine, tag: &str) -> String {
    let head = Repository::of(ours.server(), NAME).get(tag).await.expect(200);
    digest_of(&head.body)
}

async fn packed(stack: Arc<Stack>) {
    let (_server, ours) = machine(&stack).await;
    let tar = Tar::of(&saved("app:v1", &["one", "two"])).end();
    ours.write("image.tar", &tar);
    ours.write("image.tar.xz", xz(&tar));
    ours.write("image.tar.bz2", bzip2(&tar));
    let name = format!("{NAME}:v1");
    let first = ours.done(&["push", "image.tar", &name]).await;
    for packed in ["image.tar.xz", "image.tar.bz2"] {
        assert_eq!(ours.done(&["push", packed, &name]).await, first);
    }
    // In a layout, which says what they are.
    let mut layout = Layout::default();
    let layers = [("xz", xz(&layer("one"))), ("bzip2", bzip2(&layer("two")))];
    let types = layers.clone().map(|(name, _)| format!("{LAYER}+{name}"));
    let layers: Vec<_> =
        layers.into_iter().zip(&types).map(|((_, bytes), name)| (name.as_str(), bytes)).collect();
    let image = layout.image(&layers, &["one", "two"].map(|text| digest_of(&layer(text))));
    ours.write("layout.tar", Tar::of(&layout.end(std::slice::from_ref(&image))).end());
    assert_eq!(digest(&ours.done(&["push", "layout.tar", &name]).await), image["digest"]);
}

fn of_platform(mut descriptor: Value, architecture: &str) -> Value {
    descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
    descriptor
}

/// As Docker saves an image of several platforms, of which it has these.
fn by_docker(there: &[&str]) -> (Files, Value, Vec<Value>) {
    let mut layout = Layout::default();
    let images: Vec<_> = ["amd64", "arm64", "riscv64"]
        .iter()
        .map(|name| {
            let (packed, diff_id) = (gzip(&layer(name)), digest_of(&layer(name)));
            of_platform(layout.image(&[(&format!("{LAYER}+gzip"), packed)], &[diff_id]), name)
        })
        .collect();
    let index = layout.index(&images);
    let mut tagged = index.clone();
    tagged["annotations"] = json!({
        "io.containerd.image.name": "docker.io/team/app:v1", "org.opencontainers.image.ref.name": "v1",
    });
    let mut files = layout.end(&[tagged]);
    let (config, layer) = (files[0].0.clone(), files[1].0.clone());
    files.push(image_list("team/app:v1", &config, &[&layer]));
    for image in
        images.iter().filter(|image| !there.iter().any(|name| image["platform"]["architecture"] == **name))
    {
        let name = image["digest"].as_str().expect("text").replace("sha256:", "");
        files.retain(|(file, _)| !file.ends_with(&name));
    }
    (files, index, images)
}

async fn one_platform(stack: Arc<Stack>) {
    let (_server, ours) = machine(&stack).await;
    let (files, index, images) = by_docker(&["amd64"]);
    for (name, tar) in [("saved.tar", Tar::of(&files).end()), ("saved.tgz", gzip(&Tar::of(&files).end()))] {
        ours.write(name, tar);
        let pushed = ours.run(&["push", name, NAME]).await;
        assert_eq!(
            (pushed.code, digest(&pushed.stdout)),
            (Some(0), images[0]["digest"].as_str().expect("text"))
        );
        for told in [&index, &images[1], &images[2]] {
            assert!(pushed.stderr.contains(told["digest"].as_str().expect("text")), "{pushed:?}");
        }
        assert_eq!(tagged(&ours, "v1").await, images[0]["digest"]);
    }
    // By its platform or its digest nothing needs to be said.
    let name = format!("{NAME}@{}", images[0]["digest"].as_str().expect("text"));
    for arguments in
        [&["push", "saved.tar", NAME, "--platform", "linux/amd64"][..], &["push", "saved.tar", &name]]
    {
        assert_eq!(digest(&ours.done(arguments).await), images[0]["digest"]);
    }
    let complaint = ours.failed(1, &["push", "saved.tar", NAME, "--platform", "linux/arm64"]).await;
    assert!(complaint.contains(images[1]["digest"].as_str().expect("text")), "{complaint}");
}

async fn sparse(stack: Arc<Stack>) {
    let (_server, ours) = machine(&stack).await;
    let (files, index, images) = by_docker(&["amd64", "arm64"]);
    ours.write("several.tar", Tar::of(&files).end());
    let complaint = ours.failed(1, &["push", "several.tar", &format!("{NAME}:v1")]).await;
    for told in [images[2]["digest"].as_str().expect("text"), "linux/amd64, linux/arm64", "--platform"] {
        assert!(complaint.contains(told), "{complaint}");
    }
    let arm = ours.done(&["push", "several.tar", &format!("{NAME}:arm"), "--platform", "linux/arm64"]).await;
    assert_eq!(digest(&arm), images[1]["digest"]);
    // Of an index that is whole as well.
    let (files, whole, images) = by_docker(&["amd64", "arm64", "riscv64"]);
    ours.write("whole.tar", Tar::of(&files).end());
    let one = ours.done(&["push", "whole.tar", &format!("{NAME}:one"), "--platform", "linux/riscv64"]).await;
    assert_eq!(digest(&one), images[2]["digest"]);
    assert_eq!(whole["digest"], index["digest"]);
    assert_eq!(digest(&ours.done(&["push", "whole.tar", &format!("{NAME}:all")]).await), index["digest"]);

    // Two images, of which one has lost a layer: the other one is pushed, and the command has failed.
    let mut layout = Layout::default();
    let (sound, lacking) = (layout.simple("sound"), layout.simple("lacking"));
    let mut files = layout.end(&[named(lacking.clone(), "lacking"), named(sound.clone(), "sound")]);
    let lost = digest_of(&layer("lacking"));
    files.retain(|(name, _)| !name.ends_with(&lost.replace("sha256:", "")));
    ours.write("two.tar", Tar::of(&files).end());
    let pushed = ours.run(&["push", "two.tar", NAME]).await;
    assert_eq!((pushed.code, digest(&pushed.stdout)), (Some(1), sound["digest"].as_str().expect("text")));
    assert!(
        pushed.stderr.contains(&lost) && pushed.stderr.contains("lacking cannot be pushed"),
        "{pushed:?}"
    );
    let complaint = ours.failed(1, &["push", "two.tar", NAME, "--image", "lacking"]).await;
    assert!(complaint.contains(&lost), "{complaint}");
    ours.done(&["push", "two.tar", NAME, "--image", "sound"]).await;
}

async fn untagged(stack: Arc<Stack>) {
    let (_server, ours) = machine(&stack).await;
    let mut layout = Layout::default();
    let image = layout.simple("one");
    let (config, content) =
        (layout.blob("application/vnd.oci.empty.v1+json", b"{}"), layout.blob("text/plain", b"signed"));
    let signature = json!({
        "schemaVersion": 2, "mediaType": IMAGE, "artifactType": "application/vnd.example.signature",
        "config": config, "layers": [content], "subject": image,
    });
    let signature = layout.json(IMAGE, &signature);
    let files = layout.end(&[image.clone(), signature.clone()]);
    ours.write("signed.tar", Tar::of(&files).end());
    // The only image; its signature comes along.
    let printed = ours.done(&["push", "signed.tar", &format!("{NAME}:v1")]).await;
    let digests: Vec<_> = printed.lines().map(digest).collect();
    assert_eq!(digests, [&image["digest"], &signature["digest"]]);
    assert_eq!(tagged(&ours, "v1").await, image["digest"]);
    assert_eq!(Repository::of(ours.server(), NAME).tags().await, ["v1"]);
    let referrers = Repository::of(ours.server(), NAME)
        .list(&format!("referrers/{}", image["digest"].as_str().expect("text")))
        .await
        .expect(200)
        .json();
    assert_eq!(referrers["manifests"][0]["digest"], signature["digest"]);

    let mut layout = Layout::default();
    let (one, two) = (layout.simple("one"), layout.simple("two"));
    ours.write("left.tar", Tar::of(&layout.end(&[one.clone(), named(two.clone(), "two")])).end());
    // The one that has a name is what is meant.
    let pushed = ours.run(&["push", "left.tar", &format!("{NAME}:v2")]).await;
    assert_eq!((pushed.code, digest(&pushed.stdout)), (Some(0), two["digest"].as_str().expect("text")));
    assert!(pushed.stderr.contains(one["digest"].as_str().expect("text")), "{pushed:?}");
    // Without a tag each goes by what it has.
    let printed = ours.done(&["push", "left.tar", NAME]).await;
    assert_eq!(printed.lines().map(digest).collect::<Vec<_>>(), [&two["digest"], &one["digest"]]);
    assert_eq!(Repository::of(ours.server(), NAME).tags().await, ["two", "v1", "v2"]);
}

async fn empty(stack: Arc<Stack>) {
    let (_server, ours) = machine(&stack).await;
    for (index, name) in [(json!([]), "empty"), (Value::Null, "null")] {
        let folder = ours.path(name);
        fs::create_dir(&folder).expect("a folder of our own");
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file of our own");
        let index = json!({ "schemaVersion": 2, "manifests": index }).to_string();
        fs::write(folder.join("index.json"), index).expect("a file of our own");
        let complaint = ours.failed(1, &["push", name, &format!("{NAME}:v1")]).await;
        assert!(complaint.contains("lists no image"), "{complaint}");
    }
}
