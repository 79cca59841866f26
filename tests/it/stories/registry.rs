//! The registry, endpoint by endpoint (OCI distribution 1.1.1), as stock clients and the conformance suite use it.

mod browsers;
mod catalog;
mod delete;
mod digests;
mod errors;
mod learned;
mod mount;
mod pull;
mod push;
mod races;
mod redirects;
mod references;
mod referrers;
mod refused;
mod shapes;
mod sizes;
mod tags;

use overside::domain::blob::Proof;
use overside::domain::digest::{Algorithm, Digest};
use overside::domain::hash::Hasher;

use crate::support::Stack;
use crate::support::api::database;
use crate::support::trial::Story;

/// A name with several segments; every endpoint has to cope with it.
const NAME: &str = "team/app/model";
/// The smallest part that S3 takes, so that an upload of a few MiB has several.
const SMALL_PARTS: [&str; 2] = ["--part-size", "5MiB"];

pub fn cases() -> Vec<Story> {
    [
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
    .concat()
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
