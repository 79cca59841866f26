//! The registry, endpoint by endpoint (OCI distribution 1.1.1), as stock clients and the conformance suite use it.

// What somebody has pushed, opened in a browser.
mod browsers;
// `GET /v2/_catalog`.
mod catalog;
// `DELETE …/manifests/{reference}`.
mod delete;
// SHA-512 beside SHA-256.
mod digests;
// What every answer has, whatever was asked.
mod errors;
// Uploads whose algorithm is learned at their end.
mod learned;
// Mounts that name no repository.
mod mount;
// `GET` and `HEAD …/manifests/{reference}`.
mod pull;
// `PUT …/manifests/{reference}`.
mod push;
// Clients at once.
mod races;
// Downloads that pass the service instead of being sent to the bucket.
mod redirects;
// What a manifest refers to.
mod references;
// `GET …/referrers/{digest}`.
mod referrers;
// What is no manifest.
mod refused;
// What kinds of manifests are taken.
mod shapes;
// How large a manifest may be.
mod sizes;
// `GET …/tags/list`.
mod tags;

use overside::domain::blob::Proof;
use overside::domain::digest::{Algorithm, Digest};
use overside::domain::hash::Hasher;

use super::Group;
use crate::support::api::database;
use crate::support::{Shows, Stack};

/// A name with several segments; every endpoint has to cope with it.
const NAME: &str = "team/app/model";
/// The smallest part that S3 takes, so that an upload of a few MiB has several.
const SMALL_PARTS: [&str; 2] = ["--part-size", "5MiB"];

pub fn groups() -> Vec<Group> {
    let stories = [
        digests::cases(),
        learned::cases(),
        mount::cases(),
        pull::cases(),
        push::cases(),
        shapes::cases(),
        refused::cases(),
        sizes::cases(),
        redirects::cases(),
        references::cases(),
        delete::cases(),
        tags::cases(),
        catalog::cases(),
        referrers::cases(),
        errors::cases(),
        races::cases(),
        browsers::cases(),
    ]
    .concat();
    vec![Group::new("registry", Shows::Databases, stories)]
}

fn sha512_of(bytes: &[u8]) -> Digest {
    Hasher::digest(Algorithm::Sha512, bytes)
}

/// How the database says that a blob was proven.
async fn proof(stack: &Stack, digest: &Digest) -> Option<Proof> {
    let db = database(stack).await;
    let found = db.find_blob(digest).await.expect("the database answers");
    db.close().await;
    found.map(|blob| blob.proof)
}
