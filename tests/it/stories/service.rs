//! The service and its commands as people run them: help, exit codes, logs, health, settings.

mod commands;
mod doctor;
mod door;
mod files;
mod health;
mod logs;
mod probe;
mod settings;
mod usage;

use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    [usage::cases(), health::cases(), logs::cases(), commands::cases(), settings::cases(), files::cases()]
        .concat()
}

/// What a store is seen to do.
pub fn cases_of_stores() -> Vec<Story> {
    [doctor::cases(), probe::cases()].concat()
}
