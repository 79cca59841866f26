//! Who is there, who somebody is, and what they may do.

// Who is let in where, and what whoever is not may learn.
mod access;
// Users, projects and what belongs to them, over Harbor's API and from the command line.
mod api;

use super::Group;
use crate::support::Shows;

pub fn groups() -> Vec<Group> {
    vec![
        Group::new("accounts::access", Shows::Databases, access::cases()),
        Group::new("accounts::api", Shows::Databases, api::cases()),
    ]
}
