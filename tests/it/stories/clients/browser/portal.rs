//! The page that the service serves: `clients/portal`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::FutureExt;
use reqwest::Method;

use super::{Site, TESTS_LIMIT, allow};
use crate::support::api::Answer;
use crate::support::trial::{Story, not_here};
use crate::support::{Accounts, Servers, Stack, http};

/// Of all that the page loads, in bytes: what a phone loads in a second or two.
const MAX_SIZE: usize = 200_000;

pub fn cases() -> Vec<Story> {
    vec![
        ("the_page_and_its_files_are_what_the_sources_make", |stack| built(stack).boxed()),
        ("the_page_comes_with_all_that_it_loads_and_lets_nothing_else_run", |stack| served(stack).boxed()),
        ("people_use_the_page_in_a_browser", |stack| used(stack).boxed()),
    ]
}

/// Where the sources are with what they are built with.
fn sources() -> PathBuf {
    let servers = Servers::from_environment();
    let Some(client) = &servers.javascript else { not_here("npm was not there to build it with") };
    client.ancestors().nth(3).expect("a file in clients/js/dist").join("portal")
}

fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| {
        let entry = entry.expect("an entry");
        let text = std::fs::read_to_string(entry.path()).expect("text");
        (entry.file_name().into_string().expect("text"), text)
    });
    entries.collect()
}

async fn built(stack: Arc<Stack>) {
    let folder = stack.folder().join("built");
    let place = folder.display().to_string();
    for (program, arguments) in [
        ("npm", &["run", "--silent", "check"][..]),
        ("node", &["--test", "test/archive.test.js"]),
        ("node", &["scripts/build.js", &place]),
    ] {
        let mut command = stack.program(Path::new(program));
        let done = stack.run_within(command.current_dir(sources()).args(arguments), TESTS_LIMIT).await;
        assert_eq!(done.code, Some(0), "{program} {arguments:?}: {}{}", done.stdout, done.stderr);
    }
    let known = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/portal/built");
    let is_same = files(&folder) == files(&known);
    assert!(is_same, "build it anew: npm run build, in clients/portal");
}

async fn served(stack: Arc<Stack>) {
    let server = stack.server(&["--auth", "token"]).await;
    let get = |path: &str| http().request(Method::GET, format!("{}/{path}", server.base_url()));
    let page = Answer::to(get("")).await.expect(200);
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    assert!(!policy.contains("unsafe-inline") && policy.starts_with("default-src 'none'"), "{policy}");
    let text = page.text();
    let names: Vec<_> = text.split("\"portal/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(names.len(), 4, "{text}");
    let mut size = text.len();
    for name in names {
        let file = Answer::to(get(&format!("portal/{name}"))).await.expect(200);
        assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"));
        // Workers have their own, which is kept for good and names no store.
        let own = file.header("content-security-policy").expect("a policy");
        assert!(own.ends_with("connect-src 'self'") && policy.starts_with(own), "{own}");
        size += file.body.len();
    }
    assert!(size < MAX_SIZE, "{size}");
    Answer::to(get("portal/portal.js")).await.expect(404);
    let etag = page.header("etag").expect("an ETag");
    let known = Answer::to(get("").header("if-none-match", etag)).await.expect(304);
    assert!(known.body.is_empty() && known.header("x-harbor-csrf-token").is_some());
}

async fn used(stack: Arc<Stack>) {
    let (servers, sources) = (Servers::from_environment(), sources());
    let site = Site::new(&stack).await;
    if let Some((client, name)) = &site.bucket {
        allow(client, name, "*").await;
    }
    let server = site.server(&["--auth", "token"]).await;
    let accounts = Accounts::of(&stack).await;
    let (owner, other) = (accounts.user("owner").await, accounts.user("other").await);
    let mut node = stack.program(Path::new("node"));
    node.current_dir(sources).args(["--test", "test/portal.test.js"]);
    node.env("OVERSIDE_TEST_URL", server.base_url().trim_end_matches('/'));
    node.env("OVERSIDE_TEST_USERNAME", &owner.name).env("OVERSIDE_TEST_PASSWORD", &owner.secret);
    node.env("OVERSIDE_TEST_OTHER", &other.name);
    node.env("OVERSIDE_TEST_CHROMIUM", servers.chromium.expect("this is run where there is one"));
    let done = stack.run_within(&mut node, TESTS_LIMIT).await;
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("# fail 0") && !done.stdout.contains("# pass 0"), "{}", done.stdout);
    drop(server);
    site.remove().await;
}
