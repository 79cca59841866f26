//! Connections: how many there may be, and whose they are.

use clap::Args;

use crate::http::connections::Terms;

/// The usual limit on open files is 1,024: two for a connection, and some left for the database and the store.
const DEFAULT_MAX_CONNECTIONS: usize = 480;
/// It takes more than three addresses to take all connections: one crowded office, or one attacker, does not.
const ADDRESSES_AT_LEAST: usize = 4;

/// Who may hold how many.
#[derive(Debug, Clone, Args)]
pub struct ConnectionConfig {
    /// Most connections at once; for a further one an idle one goes. Each may need two file descriptors (`ulimit -n`)
    #[arg(long, env = "OVERSIDE_MAX_CONNECTIONS", default_value_t = DEFAULT_MAX_CONNECTIONS, value_parser = count)]
    pub max_connections: usize,

    /// Most connections of one client address (of IPv6, one /64), and requests under way for it without signing in.
    /// Behind a proxy all connections come from the proxy's: have its forwarded addresses trusted, or set this as high
    /// as all connections [default: a quarter of those; this machine's own addresses: no limit]
    #[arg(long, env = "OVERSIDE_CONNECTIONS_PER_ADDRESS", value_parser = count)]
    pub connections_per_address: Option<usize>,

    /// Believe `X-Forwarded-For`: its last address is who asks, in the audit log and where limits count addresses.
    /// Only behind a proxy that sets it, and that nobody can go around
    #[arg(long, env = "OVERSIDE_TRUST_FORWARDED_FOR")]
    pub trust_forwarded_for: bool,
}

impl ConnectionConfig {
    #[must_use]
    pub fn terms(&self) -> Terms {
        let share = (self.max_connections / ADDRESSES_AT_LEAST).max(1);
        let share = self.connections_per_address.unwrap_or(share);
        Terms {
            most: self.max_connections,
            // A proxy that is trusted to say whom it asks for has as many as it needs.
            most_per_address: (!self.trust_forwarded_for).then_some(share),
            most_strangers_per_address: Some(share),
            includes_loopback: self.connections_per_address.is_some(),
        }
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("must be a whole number from 1".to_owned()),
        Ok(count) => Ok(count),
    }
}
