use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;

use super::document::{described, document};
use crate::http::endpoint::Endpoint;

/// How handlers read a parameter by its name: see `http::extract`.
const READS: [&str; 12] = [
    ".text(\"",
    ".once(\"",
    ".all(\"",
    ".parse(\"",
    ".digest(\"",
    ".algorithm(\"",
    ".number(\"",
    ".is_true(\"",
    "once(parameters, \"",
    "once(&parameters, \"",
    " number(\"",
    "field(\"",
];

#[test]
fn every_endpoint_is_described() {
    let missing: Vec<_> = Endpoint::ALL.iter().filter(|endpoint| described(**endpoint).is_none()).collect();
    assert!(missing.is_empty(), "each front door has a described.rs: {missing:?}");
}

#[test]
fn every_parameter_that_a_handler_reads_is_described() {
    let text = document().to_string();
    let mut read = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"), &mut read);
    assert!(read.len() > 20, "what reads them is found: {read:?}");
    // A field of a form is a property.
    read.retain(|name| {
        !text.contains(&format!("\"name\":\"{name}\"")) && !text.contains(&format!("\"{name}\":{{"))
    });
    assert!(read.is_empty(), "parameters that no front door describes: {read:?}");
}

fn collect(folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, names);
        } else if !path.ends_with("openapi/tests.rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let read = READS.iter().flat_map(|call| text.split(call).skip(1));
            names.extend(read.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
}

#[test]
fn no_two_types_have_one_name() {
    let mut known = BTreeMap::new();
    for (name, schema) in
        Endpoint::ALL.iter().filter_map(|endpoint| described(*endpoint)).flat_map(|one| one.schemas)
    {
        let schema = json!(schema);
        let other = known.entry(name.clone()).or_insert_with(|| schema.clone());
        assert_eq!(*other, schema, "{name}");
    }
}
