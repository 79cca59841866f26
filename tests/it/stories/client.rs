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

use crate::support::trial::Story;
use crate::support::{Servers, StackKind};

/// A name with several segments.
const NAME: &str = "team/app/model";

/// What has to be there for a story, besides its stack.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    Nothing,
    /// No server of ours either.
    Alone,
    Skopeo,
    /// Both foreign registries, and skopeo to look into them.
    Registries,
    /// The same, and no server of ours.
    RegistriesAlone,
}

impl Need {
    pub const fn is_there(self, servers: &Servers) -> bool {
        match self {
            Self::Nothing | Self::Alone => true,
            Self::Skopeo => servers.skopeo.is_some(),
            Self::Registries | Self::RegistriesAlone => {
                servers.registry.is_some()
                    && servers.registry_with_password.is_some()
                    && servers.skopeo.is_some()
            }
        }
    }

    /// What meets no server of ours is told once: no database or store has a part in it.
    pub const fn stacks(self) -> &'static [StackKind] {
        match self {
            Self::Alone | Self::RegistriesAlone => &[StackKind::SqliteFilesystem],
            _ => &StackKind::ALL,
        }
    }
}

/// Every story with what it needs.
pub fn cases() -> Vec<(Need, Vec<Story>)> {
    vec![
        (Need::Skopeo, images::cases()),
        (Need::Nothing, copies::cases()),
        (Need::Nothing, archives::cases()),
        (Need::Nothing, compressed::cases()),
        (Need::Nothing, interrupted::cases()),
        (Need::Nothing, malformed::cases()),
        (Need::Nothing, pipes::cases()),
        (Need::Nothing, removed::cases()),
        (Need::Registries, foreign::cases()),
        (Need::RegistriesAlone, foreign::cases_without_us()),
        (Need::Nothing, files::cases()),
        (Need::Alone, hostile::cases()),
        (Need::Nothing, tls::cases()),
    ]
}
