//! Our own client: the commands that push, pull and copy, against our own server and against others'.

mod archives;
mod compressed;
mod copies;
mod counted;
mod files;
mod foreign;
mod hostile;
mod images;
mod interrupted;
mod malformed;
mod pipes;
mod removed;
mod tls;

use super::{Group, IsThere, needing};
use crate::support::Shows;

/// A name with several segments.
const NAME: &str = "team/app/model";

const NO_MORE: IsThere = |_| true;

pub fn groups() -> Vec<Group> {
    let skopeo: IsThere = |servers| servers.skopeo.is_some();
    // And skopeo to look into them.
    let registries: IsThere = |servers| {
        servers.registry.is_some() && servers.registry_with_password.is_some() && servers.skopeo.is_some()
    };
    let groups = [
        (skopeo, Shows::Databases, images::cases()),
        (NO_MORE, Shows::Databases, copies::cases()),
        (NO_MORE, Shows::Once, archives::cases()),
        (NO_MORE, Shows::Once, compressed::cases()),
        // What arrived and what did not, each store tells otherwise.
        (NO_MORE, Shows::Everything, interrupted::cases()),
        (NO_MORE, Shows::Once, malformed::cases()),
        (NO_MORE, Shows::Databases, pipes::cases()),
        (NO_MORE, Shows::Databases, removed::cases()),
        (registries, Shows::Databases, foreign::cases()),
        (registries, Shows::Once, foreign::cases_without_us()),
        (NO_MORE, Shows::Databases, files::cases()),
        (NO_MORE, Shows::Once, hostile::cases()),
        (NO_MORE, Shows::Once, tls::cases()),
    ];
    groups.into_iter().map(|(is_there, shows, stories)| needing(is_there, "client", shows, stories)).collect()
}
