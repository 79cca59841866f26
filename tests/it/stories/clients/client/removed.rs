//! Tags are added and taken away one by one; what goes with something is said, and asked about.

use std::sync::Arc;

use futures_util::future::FutureExt;
use serde_json::json;

use crate::support::api::Repository;
use crate::support::image::{self, EMPTY, IMAGE, Manifest};
use crate::support::stack::CommandOutput;
use crate::support::trial::Story;
use crate::support::{CommandLine, Stack};

const NAME: &str = "team/cargo";

pub fn cases() -> Vec<Story> {
    vec![
        ("rm_takes_one_tag_and_leaves_the_manifest_its_others", |s| one_tag(s).boxed()),
        ("rm_by_digest_says_which_tags_go_and_asks", |s| by_digest(s).boxed()),
        ("blobs_that_no_manifest_names_are_listed_and_deleted", |s| unnamed(s).boxed()),
        ("rm_takes_a_whole_repository_with_all_that_is_about_it", |s| repository(s).boxed()),
    ]
}

async fn unnamed(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    ours.write("alone", "a blob without a manifest");
    ours.write("file", "a file of an artifact");
    assert!(ours.failed(1, &["ls", "--blobs", NAME]).await.contains("there is no repository"));
    let put = ours.done(&["put", "alone", NAME]).await;
    let alone = format!("{NAME}@{}", put.split_whitespace().next().expect("a digest"));
    ours.done(&["put", "file", &named("v1")]).await;
    let listed = ours.done(&["ls", "--blobs", NAME]).await;
    assert!(listed.starts_with(&format!("{alone} 25 ")) && listed.lines().count() == 1, "{listed}");
    ours.failed(2, &["ls", "--blobs", &named("v1")]).await;
    // A page at a time, with all of them.
    let (http, base) = (crate::support::http(), server.base_url());
    let mut next = format!("/v2/{NAME}/blobs/?n=1");
    let mut all = Vec::new();
    loop {
        let page = crate::support::api::Answer::to(http.get(format!("{base}{next}"))).await.expect(200);
        all.extend(page.json()["blobs"].as_array().expect("blobs").clone());
        let Some(link) = page.header("link") else { break };
        link.trim_start_matches('<').split('>').next().expect("a link").clone_into(&mut next);
    }
    let named_by: Vec<_> = all.iter().filter(|blob| blob["in_manifest"] == true).collect();
    assert_eq!((all.len(), named_by.len()), (3, 2), "{all:?}");

    ours.done(&["rm", "--blob", &alone]).await;
    assert_eq!(ours.done(&["ls", "--blobs", NAME]).await, "");
    ours.done(&["get", &named("v1"), "-o", "back"]).await;
}

fn named(reference: impl std::fmt::Display) -> String {
    format!("{NAME}:{reference}")
}

async fn one_tag(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    let there = Repository::of(server.base_url(), NAME);
    // With spaces that nobody would write again: the digest is that of the exact bytes.
    let image = there.image("cargo").await;
    let image =
        Manifest { payload: format!("{}\n\n ", String::from_utf8_lossy(&image.payload)).into(), ..image };
    there.put("v1", &image).await.expect(201);
    let other = there.tagged("v0").await;
    let digest = image.digest();

    let printed = ours.done(&["tag", &named("v1"), "v2", "v0"]).await;
    assert_eq!(printed, format!("{digest} {}\n{digest} {}\n", named("v2"), named("v0")));
    for tag in ["v0", "v1", "v2"] {
        assert_eq!(there.get(tag).await.expect(200).body, image.payload, "{tag}");
    }
    there.get(other.digest()).await.expect(200);

    assert_eq!(ours.done(&["rm", "--dry-run", &named("v1")]).await, format!("{}\n", named("v1")));
    assert_eq!(there.tags().await, ["v0", "v1", "v2"]);
    assert_eq!(ours.done(&["rm", &named("v1")]).await, format!("{}\n", named("v1")));
    assert_eq!(there.tags().await, ["v0", "v2"]);
    // Its last tag too is no more than a tag.
    ours.done(&["rm", &named("v0")]).await;
    ours.done(&["rm", &named("v2")]).await;
    assert_eq!(there.tags().await, Vec::<String>::new());
    assert_eq!(there.get(digest).await.expect(200).body, image.payload);

    for missing in
        [&["rm", &named("v1")][..], &["rm", "--dry-run", &named("v1")], &["tag", &named("v1"), "v2"]]
    {
        let complaint = ours.failed(1, missing).await;
        assert!(complaint.contains(&format!("there is no {}", named("v1"))), "{complaint}");
    }
    for (bad_usage, told) in
        [(&["rm", NAME][..], "--repository"), (&["rm", "--repository", &named("v1")], "name alone")]
    {
        let complaint = ours.failed(2, bad_usage).await;
        assert!(complaint.contains(told), "{complaint}");
    }
}

/// The command on a terminal, with this typed there.
async fn typed(stack: &Stack, ours: &CommandLine, answer: &str, arguments: &str) -> CommandOutput {
    let program = env!("CARGO_BIN_EXE_overside");
    let mut terminal = ours.command(&[]);
    let environment: Vec<_> =
        terminal.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    terminal = stack.program(std::path::Path::new("script"));
    for (name, value) in environment {
        terminal.env(name, value.unwrap_or_default());
    }
    terminal.current_dir(ours.path(""));
    terminal.args(["--quiet", "--return", "--command", &format!("{program} {arguments}"), "/dev/null"]);
    stack.run_with_input(answer, &terminal).await
}

async fn by_digest(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    let there = Repository::of(server.base_url(), NAME);
    let image = there.tagged("v1").await;
    there.put("latest", &image).await.expect(201);
    let other = there.tagged("other").await;
    let name = format!("{NAME}@{}", image.digest());
    let all = format!("{}\n{}\n{name}\n", named("latest"), named("v1"));

    assert_eq!(ours.done(&["rm", "--dry-run", &name]).await, all);
    let complaint = ours.failed(1, &["rm", &name]).await;
    assert!(complaint.contains("its tags: latest, v1") && complaint.contains("--yes"), "{complaint}");
    let refused = typed(&stack, &ours, "n\n", &format!("rm {name}")).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stdout.contains("its tags: latest, v1. Delete? [y/N]"), "{refused:?}");
    assert_eq!(there.tags().await, ["latest", "other", "v1"]);

    let agreed = typed(&stack, &ours, "y\n", &format!("rm {name}")).await;
    assert_eq!(agreed.code, Some(0), "{agreed:?}");
    assert_eq!(there.tags().await, ["other"]);
    there.get(image.digest()).await.expect(404);
    ours.failed(1, &["rm", "--yes", &name]).await;

    // Without a terminal --yes is enough, and where nothing else goes nobody is asked.
    let name = format!("{NAME}@{}", other.digest());
    assert_eq!(ours.done(&["rm", "--yes", &name]).await, format!("{}\n{name}\n", named("other")));
    there.put(other.digest(), &other).await.expect(201);
    assert_eq!(ours.done(&["rm", &name]).await, format!("{name}\n"));
}

async fn repository(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    let there = Repository::of(server.base_url(), NAME);
    let mut everything = Vec::new();
    for platform in ["amd64", "arm64"] {
        let image = there.image(platform).await;
        there.put(image.digest(), &image).await.expect(201);
        everything.push(image);
    }
    let index = image::index(&everything.iter().map(Manifest::descriptor).collect::<Vec<_>>());
    there.put("v1", &index).await.expect(201);
    // A child with a tag of its own, a signature of it, and a neighbour that stays.
    there.put("amd64", &everything[0]).await.expect(201);
    there.push(b"{}").await;
    let signature = image::image(&image::descriptor(EMPTY, b"{}"), &[])
        .with("mediaType", IMAGE.into())
        .with("artifactType", "application/vnd.example.signature".into())
        .with("layers", json!([image::descriptor(EMPTY, b"{}")]))
        .with("subject", everything[0].descriptor());
    there.put(signature.digest(), &signature).await.expect(201);
    everything.extend([index, signature]);
    let neighbour = Repository::of(server.base_url(), "team/other");
    neighbour.tagged("v1").await;

    let complaint = ours.failed(1, &["rm", "--repository", NAME]).await;
    assert!(complaint.contains("2 tags and 4 manifests") && complaint.contains("--yes"), "{complaint}");
    let planned = ours.done(&["rm", "--repository", "--dry-run", NAME]).await;
    assert_eq!(there.tags().await, ["amd64", "v1"]);
    for manifest in &everything {
        assert!(planned.contains(&format!("{NAME}@{}\n", manifest.digest())), "{planned}");
        there.get(manifest.digest()).await.expect(200);
    }
    assert_eq!(ours.done(&["rm", "--repository", "--yes", NAME]).await, planned);
    for manifest in &everything {
        there.get(manifest.digest()).await.expect(404);
    }
    assert_eq!(neighbour.tags().await, ["v1"]);
    ours.failed(1, &["rm", "--repository", "--yes", NAME]).await;
    ours.failed(1, &["rm", "--repository", "--yes", "team/none"]).await;

    // An index without a tag, which is on no list, keeps what it lists and nothing else.
    let (kept, other) = (there.image("kept").await, there.image("other").await);
    for image in [&kept, &other] {
        there.put(image.digest(), image).await.expect(201);
    }
    let hidden = image::index(&[kept.descriptor()]);
    there.put(hidden.digest(), &hidden).await.expect(201);
    let index = image::index(&[kept.descriptor(), other.descriptor()]);
    there.put("v2", &index).await.expect(201);
    let done = ours.run(&["rm", "--repository", "--yes", NAME]).await;
    assert_eq!(done.code, Some(1), "{done:?}");
    for gone in [named("v2"), format!("{NAME}@{}", index.digest()), format!("{NAME}@{}", other.digest())] {
        assert!(done.stdout.contains(&gone), "{gone}: {done:?}");
    }
    for named in [kept.digest(), hidden.digest()] {
        assert!(done.stderr.contains(&named.to_string()), "{named}: {done:?}");
    }
    assert_eq!(there.get(kept.digest()).await.expect(200).body, kept.payload);
    there.get(other.digest()).await.expect(404);
}
