//! Which crate and which module may use which. Read from the paths in the sources, so that a layer cannot come to depend
//! on one above it without somebody adding the arrow here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Every top-level module of a crate with those that it uses, and the other crates of ours. They stand above it in the
/// list, so there is no circle.
type Layers = &'static [(&'static str, &'static [&'static str])];

/// What server and clients speak: nobody else of ours.
const PROTOCOL: Layers = &[
    // What names content, and what computes it.
    ("digest", &[]),
    ("hash", &["digest"]),
    ("midstate", &["hash"]),
    // What a registry has.
    ("media_type", &[]),
    ("name", &[]),
    ("reference", &["digest"]),
    // How they are stored.
    ("columns", &["digest", "media_type", "name"]),
    ("manifest", &["digest", "media_type"]),
    // How bytes come and go.
    ("range", &[]),
    ("part", &["range"]),
    ("upload", &[]),
    // How they are described.
    ("schema", &["digest", "media_type", "midstate", "part"]),
    // Requests and answers.
    ("wire", &["digest", "media_type", "midstate", "part", "upload"]),
];

/// The protocol from the other side: nothing of a server.
const CLIENT: Layers = &[
    ("overside_protocol", &[]),
    // What people are told.
    ("printable", &[]),
    ("error", &["overside_protocol", "printable"]),
    ("progress", &["error", "overside_protocol"]),
    // The local disk.
    ("files", &["error", "overside_protocol", "progress"]),
    ("credentials", &["files"]),
    // One request: where it may go, how it signs in, when it is repeated.
    ("transport", &["credentials", "error", "overside_protocol", "printable", "progress"]),
    ("image_ref", &["error", "overside_protocol", "transport"]),
    // What a registry can do, one request at a time.
    ("registry", &["error", "overside_protocol", "printable", "transport"]),
    ("archive", &["error", "files", "overside_protocol", "progress", "registry"]),
    // Transfers of blobs, and of artifacts, which are made of them.
    ("upload", &["error", "files", "overside_protocol", "printable", "progress", "registry", "transport"]),
    ("download", &["archive", "error", "files", "overside_protocol", "progress", "registry", "transport"]),
    (
        "artifact",
        &[
            "archive",
            "error",
            "files",
            "overside_protocol",
            "printable",
            "progress",
            "registry",
            "transport",
            "upload",
        ],
    ),
];

/// The server and the commands.
const ROOT: Layers = &[
    ("overside_protocol", &[]),
    ("overside_client", &[]),
    // Pure types, and the state machine of uploads.
    ("domain", &["overside_protocol"]),
    // What requests share, and what the log shows.
    ("memory", &[]),
    ("telemetry", &[]),
    ("log_text", &[]),
    // Passwords, secrets and tokens: no database, no header.
    ("auth", &["domain", "log_text"]),
    // Deliveries of webhooks: no database.
    ("webhook", &["domain"]),
    // Rows and bytes.
    ("db", &["domain"]),
    ("storage", &["domain", "log_text", "memory"]),
    // The use cases: no header, no SQL.
    ("service", &["auth", "db", "domain", "log_text", "memory", "storage", "telemetry", "webhook"]),
    // The front doors. Of the store: the URLs that the service signs for it, and the bytes of downloads.
    (
        "http",
        &["auth", "domain", "log_text", "memory", "overside_protocol", "service", "storage", "telemetry"],
    ),
    // From settings to a running service.
    ("config", &["auth", "domain", "http", "telemetry"]),
    ("open", &["auth", "config", "db", "domain", "service", "storage"]),
    ("probing", &["config", "db", "domain", "log_text", "storage"]),
    ("worker", &["log_text", "service", "webhook"]),
    ("server", &["auth", "config", "http", "open", "probing", "service", "webhook", "worker"]),
    // The commands: the client's, and an operator's on the database and the store themselves.
    (
        "cli",
        &[
            "auth",
            "config",
            "db",
            "domain",
            "http",
            "log_text",
            "open",
            "overside_client",
            "overside_protocol",
            "probing",
            "server",
            "service",
            "storage",
            "telemetry",
        ],
    ),
];

/// Every crate: its sources, its layers, and modules whose children do not go in circles either. What one does to
/// another through methods of a type that they share, as those of `Service` or `Db`, is not seen.
const CRATES: &[(&str, Layers, &[&str])] = &[
    ("crates/protocol/src", PROTOCOL, &[]),
    (
        "crates/client/src",
        CLIENT,
        &[
            "archive",
            "archive::output",
            "artifact",
            "credentials",
            "error",
            "files",
            "registry",
            "transport",
            "upload",
            "upload::chunked",
        ],
    ),
    ("src", ROOT, ORDERED),
];

/// Of the root package.
const ORDERED: &[&str] = &[
    "auth",
    "cli",
    "config",
    "db",
    "db::accounts",
    "db::registry",
    "db::upkeep",
    "db::uploads",
    "domain",
    "http",
    "http::api",
    "http::api::accounts",
    "http::api::upkeep",
    "http::hub",
    "http::mlflow",
    "http::oci",
    "http::oci::registry",
    "http::oci::uploads",
    "http::tus",
    "service",
    "service::accounts",
    "service::registry",
    "service::upkeep",
    "service::uploads",
    "service::uploads::finalize",
    "storage",
    "webhook",
];

#[test]
fn top_level_modules_use_only_what_their_layer_may() {
    for (folder, layers, _) in CRATES {
        let found = Sources::read(folder).arrows(&[]);
        let allowed: Arrows = layers
            .iter()
            .map(|(from, to)| ((*from).to_owned(), to.iter().map(|to| (*to).to_owned()).collect()))
            .collect();
        let nothing = Vec::<String>::new();
        assert_eq!(forbidden(&found, &allowed), nothing, "arrows in {folder} that its list does not have");
        assert_eq!(forbidden(&allowed, &found), nothing, "arrows of {folder}'s list that nothing needs");
        let mut lower = BTreeSet::new();
        for (module, used) in *layers {
            for used in *used {
                assert!(lower.contains(used), "{module} stands before {used} and uses it, in {folder}");
            }
            lower.insert(module);
        }
    }
}

#[test]
fn modules_of_one_layer_do_not_go_in_circles() {
    for (folder, _, ordered) in CRATES {
        let sources = Sources::read(folder);
        for layer in *ordered {
            let parent: Vec<_> = layer.split("::").collect();
            let arrows = sources.arrows(&parent);
            assert_eq!(circles(&arrows), Vec::<Vec<&str>>::new(), "circles in `{layer}` of {folder}");
        }
    }
}

/// The files of the procedure that publishes, each with what it calls below it; `mod` has the steps in their order.
const FINALIZE: [&str; 10] =
    ["mod", "claim", "assemble", "commit", "place", "identify", "verify", "read_back", "seal", "discard"];

#[test]
fn finalize_reads_forward_only() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/service/uploads/finalize");
    let texts = FINALIZE.map(|file| fs::read_to_string(folder.join(file).with_extension("rs")).expect(file));
    assert_eq!(fs::read_dir(folder).expect("a folder").count(), FINALIZE.len(), "files of finalize");
    for (place, earlier) in texts.iter().enumerate() {
        let defined = earlier.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
        for name in defined {
            for (file, later) in FINALIZE.iter().zip(&texts).skip(place + 1) {
                let calls = [format!("self.{name}("), format!("service.{name}(")];
                let calls = calls.iter().any(|call| later.contains(call));
                assert!(!calls, "`{file}` calls `{name}`, which is in `{}`", FINALIZE[place]);
            }
        }
    }
}

#[test]
fn the_scanner_sees_every_way_to_write_a_path() {
    let sources = Sources::of(&[
        ("db/mod.rs", "mod rows; pub use rows::{Row, Rows};"),
        ("db/rows.rs", "use crate::{domain::{digest::Digest, name}, http::wire as w}; // crate::auth::x"),
        ("db/tags.rs", "use super::{Db, Row};\nfn f() { super::super::cli::run() }"),
        ("db/keys.rs", "use std::fmt;\n#[cfg(test)]\nmod tests {\n use crate::client::Client; }"),
        ("db/keys/tests.rs", "use crate::client::Client;"),
        ("domain.rs", "pub(crate) struct Digest;"),
        ("cli.rs", "use overside_protocol::{digest::Digest, name};"),
        ("http.rs", "use crate::db::Db;\nuse crate::Status;\nfn f() -> overside_client::Error {}"),
        ("lib.rs", "pub mod domain;\npub use domain::Status;"),
    ]);
    let arrows = sources.arrows(&[]);
    assert_eq!(
        list(&arrows),
        [
            "cli -> overside_protocol",
            "db -> cli",
            "db -> domain",
            "db -> http",
            "http -> db",
            "http -> domain",
            "http -> overside_client"
        ]
    );
    assert_eq!(circles(&arrows), [["db", "http"]]);
    assert_eq!(list(&sources.arrows(&["db"])), ["tags -> rows"], "through what the parent re-exports");

    let allowed = Arrows::from([("db".to_owned(), BTreeSet::from(["domain".to_owned()]))]);
    let forbidden = forbidden(&arrows, &allowed);
    assert_eq!(forbidden[..4], ["cli -> overside_protocol", "db -> cli", "db -> http", "http -> db"]);
}

/// From each module to those that it uses.
type Arrows = BTreeMap<String, BTreeSet<String>>;

fn list(arrows: &Arrows) -> Vec<String> {
    arrows.iter().flat_map(|(from, used)| used.iter().map(move |to| format!("{from} -> {to}"))).collect()
}

fn forbidden(found: &Arrows, allowed: &Arrows) -> Vec<String> {
    let allowed = list(allowed);
    list(found).into_iter().filter(|arrow| !allowed.contains(arrow)).collect()
}

/// Modules that reach each other, in groups.
fn circles(arrows: &Arrows) -> Vec<Vec<&str>> {
    let groups = arrows.keys().map(|module| {
        let reaches_back = |other: &&str| reached(arrows, other).contains(module.as_str());
        reached(arrows, module).into_iter().filter(reaches_back).collect::<Vec<_>>()
    });
    groups.filter(|group| !group.is_empty()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn reached<'a>(arrows: &'a Arrows, from: &'a str) -> BTreeSet<&'a str> {
    let (mut reached, mut ahead) = (BTreeSet::new(), vec![from]);
    while let Some(module) = ahead.pop() {
        let used = arrows.get(module).into_iter().flatten().map(String::as_str);
        ahead.extend(used.filter(|to| reached.insert(*to)));
    }
    reached
}

/// The other crates of ours, which are modules above all others to whoever uses them.
const OTHERS: [&str; 2] = ["overside_client", "overside_protocol"];

/// The modules of a crate without those of tests: each with its path and the paths in its text, all from the root.
struct Sources(BTreeMap<Vec<String>, Vec<Vec<String>>>);

impl Sources {
    fn read(folder: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let (mut files, mut folders) = (Vec::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name =
                        path.strip_prefix(&root).expect("below src").to_str().expect("UTF-8").to_owned();
                    files.push((name, fs::read_to_string(path).expect("a source file")));
                }
            }
        }
        Self::of(&files)
    }

    fn of(files: &[(impl AsRef<str>, impl AsRef<str>)]) -> Self {
        let others = OTHERS.map(|name| (vec![name.to_owned()], Vec::new()));
        let mut modules = BTreeMap::from(others);
        for (file, text) in files {
            let module = file.as_ref().trim_end_matches(".rs").trim_end_matches("/mod");
            let module = module.split('/').filter(|part| *part != "lib").map(str::to_owned);
            let module: Vec<_> = module.collect();
            if !module.iter().any(|part| matches!(part.as_str(), "tests" | "main")) {
                let paths = paths(&module, text.as_ref());
                modules.insert(module, paths);
            }
        }
        Self(modules)
    }

    /// Between the modules directly inside `parent`. A name that `parent` re-exports leads to where it is from.
    fn arrows(&self, parent: &[&str]) -> Arrows {
        let below =
            |path: &[String]| path.len() > parent.len() && path.iter().zip(parent).all(|(a, b)| a == b);
        let child = |path: &[String]| path[parent.len()].clone();
        let children: BTreeSet<_> =
            self.0.keys().filter(|module| below(module)).map(|path| child(path)).collect();
        let of_parent = self.0.iter().find(|(module, _)| module.as_slice() == parent);
        let reexports: BTreeMap<_, _> = of_parent
            .into_iter()
            .flat_map(|(_, paths)| paths)
            .filter(|path| below(path))
            .filter_map(|path| Some((path.last()?.clone(), child(path))))
            .collect();
        let mut arrows = Arrows::new();
        for (module, paths) in self.0.iter().filter(|(module, _)| below(module)) {
            let used = paths.iter().filter(|path| below(path)).map(|path| child(path));
            let used = used.map(|name| {
                reexports.get(&name).filter(|_| !children.contains(&name)).cloned().unwrap_or(name)
            });
            let used = used.filter(|name| children.contains(name) && *name != child(module));
            arrows.entry(child(module)).or_default().extend(used);
        }
        arrows.retain(|_, used| !used.is_empty());
        arrows
    }
}

/// Every path of a file that begins with `crate`, `super`, `self` or another crate of ours, and every `use` of a child,
/// from the root.
fn paths(module: &[String], text: &str) -> Vec<Vec<String>> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
    let words = words(&code);
    let (mut paths, mut at) = (Vec::new(), 0);
    while at < words.len() {
        let mut base = match words[at] {
            "crate" => Vec::new(),
            "super" => module[..module.len().saturating_sub(1)].to_vec(),
            "self" => module.to_vec(),
            other if OTHERS.contains(&other) => vec![other.to_owned()],
            "use" if words.get(at + 1).is_some_and(|word| begins_with_a_child(word)) => {
                at = tree(&words, at + 1, module, &mut paths);
                continue;
            }
            _ => {
                at += 1;
                continue;
            }
        };
        at += 1;
        while words.get(at) == Some(&"::") && words.get(at + 1) == Some(&"super") {
            base.pop();
            at += 2;
        }
        if words.get(at) == Some(&"::") {
            at = tree(&words, at + 1, &base, &mut paths);
        }
    }
    paths
}

fn begins_with_a_child(word: &str) -> bool {
    !matches!(word, "crate" | "super" | "self") && !OTHERS.contains(&word)
}

/// One path, or a list of them in braces, that goes on from `base`. Gives the place of the word after it.
fn tree(words: &[&str], mut at: usize, base: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    if words.get(at) == Some(&"{") {
        at += 1;
        while at < words.len() && words[at] != "}" {
            at = if words[at] == "," { at + 1 } else { tree(words, at, base, paths) };
        }
        return at + 1;
    }
    let mut path = base.to_vec();
    path.extend(words.get(at).map(|word| (*word).to_owned()));
    let next = words.get(at + 2).and_then(|word| word.chars().next());
    if words.get(at + 1) == Some(&"::") && next.is_some_and(|c| is_name(c) || c == '{') {
        return tree(words, at + 2, &path, paths);
    }
    paths.push(path);
    if words.get(at + 1) == Some(&"as") { at + 3 } else { at + 1 }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Names, `::`, and every other sign by itself.
fn words(code: &str) -> Vec<&str> {
    let (mut words, mut rest) = (Vec::new(), code.trim_start());
    while let Some(first) = rest.chars().next() {
        let length = if is_name(first) {
            rest.find(|c| !is_name(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(length);
        words.push(word);
        rest = after.trim_start();
    }
    words
}
