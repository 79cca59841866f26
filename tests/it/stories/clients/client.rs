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

use crate::stories::Group;
use crate::support::{Servers, Shows};

/// A name with several segments.
const NAME: &str = "team/app/model";

pub fn groups(servers: &Servers) -> Vec<Group> {
    let skopeo = servers.skopeo.is_some();
    // And skopeo to look into them.
    let registries = servers.registry.is_some() && servers.registry_with_password.is_some() && skopeo;
    let groups = [
        (skopeo, Shows::Databases, images::cases()),
        (true, Shows::Databases, copies::cases()),
        (true, Shows::Once, archives::cases()),
        (true, Shows::Once, compressed::cases()),
        // What arrived and what did not, each store tells otherwise.
        (true, Shows::Databases, interrupted::cases()),
        (true, Shows::Once, malformed::cases()),
        (true, Shows::Databases, pipes::cases()),
        (true, Shows::Databases, removed::cases()),
        (registries, Shows::Databases, foreign::cases()),
        (registries, Shows::Once, foreign::cases_without_us()),
        (true, Shows::Databases, files::cases()),
        (true, Shows::Once, hostile::cases()),
        (true, Shows::Once, tls::cases()),
    ];
    let group = |(is_there, shows, stories)| Group { module: "clients::client", shows, is_there, stories };
    groups.into_iter().map(group).collect()
}
