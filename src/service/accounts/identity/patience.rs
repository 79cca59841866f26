//! How often somebody may sign in wrongly before they are kept waiting.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::domain::address::{Network, network};
use crate::service::{Result, Service, ServiceError};

/// Wrong passwords for one name from one network that cost nothing: people mistype.
const FREE_OF_NAME: i64 = 5;
/// The same from one network, whatever the name: many people may be behind one address.
const FREE_OF_NETWORK: i64 = 50;
/// The same from a site, which has 65,536 networks of IPv6 to come from, and whose guesses each leave a row.
const FREE_OF_SITE: i64 = 500;

/// What is signed in with. Passwords can be guessed; secrets made here cannot, and are counted for the work and the log
/// that wrong ones cost: a robot whose secret has expired must not keep people from signing in beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Password,
    Secret,
}

/// What one sign-in is counted under, the widest first, each with how many are free.
#[derive(Debug)]
pub(super) struct Subjects(Vec<(String, i64)>);

impl Subjects {
    /// `name` as it was typed, whoever has it: a name that nobody has is counted like any other. Only its hash is kept.
    pub fn new(kind: Kind, name: &str, address: Option<IpAddr>) -> Self {
        let Network { site, network } = network(address);
        let kind = match kind {
            Kind::Password => "password",
            Kind::Secret => "secret",
        };
        let name = hex::encode(&Sha256::digest(name.as_bytes())[..16]);
        let site = site.map(|site| (format!("{kind} {site}"), FREE_OF_SITE));
        let narrower = [
            (format!("{kind} {network}"), FREE_OF_NETWORK),
            (format!("{kind} {network} {name}"), FREE_OF_NAME),
        ];
        Self(site.into_iter().chain(narrower).collect())
    }
}

impl Service {
    /// Counts an attempt before it is looked at; fails where that is one too many.
    pub(super) async fn count_attempt(&self, subjects: &Subjects) -> Result<()> {
        match self.db.count_sign_in(&subjects.0).await? {
            None => Ok(()),
            Some(wait) => Err(ServiceError::TooManyRequests {
                what: "sign-ins have failed",
                retry_after: std::time::Duration::from_secs(wait.as_secs() + 1),
            }),
        }
    }

    /// Whose they were has signed in since. What is counted of their network stays: others are behind it too.
    pub(super) async fn forget_failures(&self, subjects: &Subjects) -> Result<()> {
        let Some((narrowest, _)) = subjects.0.last() else { return Ok(()) };
        Ok(self.db.forget_sign_ins_of(narrowest).await?)
    }

    /// It did not fail.
    pub(super) async fn give_attempt_back(&self, subjects: &Subjects) -> Result<()> {
        Ok(self.db.give_back_sign_in(&subjects.0).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(name: &str, address: &str) -> Vec<(String, i64)> {
        Subjects::new(Kind::Password, name, address.parse().ok()).0
    }

    #[test]
    fn whoever_has_a_network_of_ipv6_is_counted_as_one() {
        assert_eq!(subjects("alice", "2001:db8:1:2::3"), subjects("alice", "2001:db8:1:2:ffff::4"));
        let (one, other) = (subjects("alice", "2001:db8:1:2::3"), subjects("alice", "2001:db8:1:3::3"));
        assert_eq!(one[0], other[0], "one site");
        assert!(one[1] != other[1] && one[2] != other[2]);
        assert_eq!(subjects("alice", "192.0.2.1"), subjects("alice", "::ffff:192.0.2.1"));
        assert_ne!(subjects("alice", "192.0.2.1"), subjects("alice", "192.0.2.2"));
    }

    #[test]
    fn a_name_is_counted_by_itself_and_not_to_be_read() {
        let (alice, bob) = (subjects("alice", "192.0.2.1"), subjects("bob", "192.0.2.1"));
        assert_eq!(alice[0], bob[0]);
        assert_ne!(alice[1], bob[1]);
        assert!(!alice[1].0.contains("alice"));
        let long = subjects(&"x\0".repeat(10_000), "192.0.2.1");
        assert!(long[1].0.len() < 100 && !long[1].0.contains('\0'));
    }
}
