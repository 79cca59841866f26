//! Which connections there are, who uses them, and which one goes when there are too many: without sockets and
//! without a clock of its own, so that every rule has a test.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::flow::TransferActivity;
use crate::service::ServiceError;

/// One connection in so many is kept for newcomers: whoever has work under way never has all of them, so that a health
/// probe, or somebody who signs in, finds one that is idle and can go.
const RESERVED_SHARE: usize = 8;
/// A caller loses a request to another one's where it has more than so many times as many under way.
const FAIR_MULTIPLE: usize = 2;
/// What whoever is refused is told to wait: most requests are over by then.
const RETRY: Duration = Duration::from_secs(1);

/// Who has one address: an IPv4 address, or the /64 network that one subscriber of IPv6 gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network([u16; 4]);

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    /// Nobody signed in.
    Stranger(Option<Network>),
    User(String),
}

/// What a request says of its sender before anybody has looked whether that is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// A health probe: always answered.
    Probe,
    /// It carries credentials or a signature; these are looked at before its body is.
    Credentials,
    Nothing,
}

/// Why a request is not taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverCapacity {
    /// Everything is in use, by callers who have no more than their share.
    Service,
    /// The sender's address has its share.
    Address,
}

impl From<OverCapacity> for ServiceError {
    fn from(over_capacity: OverCapacity) -> Self {
        let what = match over_capacity {
            OverCapacity::Service => "requests under way at this server",
            OverCapacity::Address => "requests under way from this address without signing in",
        };
        Self::TooManyRequests { what, retry_after: RETRY }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Connections at once.
    pub most: usize,
    /// Of one address; none where all come from a proxy's.
    pub most_per_address: Option<usize>,
    /// Requests under way for one address without signing in.
    pub most_strangers_per_address: Option<usize>,
    /// Whether the share binds this machine's own addresses as well.
    pub includes_loopback: bool,
}

#[derive(Debug)]
enum Phase {
    /// Nothing is under way: no request has come yet, or the last one has been answered.
    Idle {
        since: Instant,
        was_signed_in: bool,
    },
    Working {
        holder: Holder,
        claim: Claim,
    },
}

#[derive(Debug)]
struct Entry {
    network: Option<Network>,
    phase: Phase,
    flow: Arc<TransferActivity>,
    end: CancellationToken,
}

#[derive(Debug)]
pub(super) struct Table {
    terms: Terms,
    entries: HashMap<u64, Entry>,
    /// Connections of each network.
    networks: HashMap<Option<Network>, usize>,
    /// Requests under way of each holder.
    work: HashMap<Holder, usize>,
    working: usize,
    next: u64,
}

impl Table {
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            entries: HashMap::new(),
            networks: HashMap::new(),
            work: HashMap::new(),
            working: 0,
            next: 0,
        }
    }

    /// None for addresses that no share binds.
    pub fn network(&self, address: Option<IpAddr>) -> Option<Network> {
        let address = address?.to_canonical();
        if address.is_loopback() && !self.terms.includes_loopback {
            return None;
        }
        Some(Network(match address {
            // Below ::ffff:0:0/96 there is no /64 that could be mistaken for one of these.
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                [0, 0xffff, u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                [a, b, c, d]
            }
        }))
    }

    /// Takes a connection in; the idle one that it takes the place of is closed. None when there is none that may go.
    pub fn admit(
        &mut self,
        network: Option<Network>,
        flow: Arc<TransferActivity>,
        end: CancellationToken,
        now: Instant,
    ) -> Option<u64> {
        let of_network = self.networks.get(&network).copied().unwrap_or_default();
        let most = network.and(self.terms.most_per_address).unwrap_or(usize::MAX);
        if of_network >= most {
            let own = self.longest_idle(|entry| entry.network == network)?;
            self.evict(own);
        } else if self.entries.len() >= self.terms.most {
            let idle = self.longest_idle(|_| true)?;
            self.evict(idle);
        }
        let id = self.next;
        self.next += 1;
        let phase = Phase::Idle { since: now, was_signed_in: false };
        self.entries.insert(id, Entry { network, phase, flow, end });
        *self.networks.entry(network).or_default() += 1;
        Some(id)
    }

    /// A request has come on this connection. Where there is no room for it, a request of somebody who has more than
    /// a fair share ends.
    pub fn begin(
        &mut self,
        id: u64,
        network: Option<Network>,
        claim: Claim,
        now: Instant,
    ) -> Result<(), OverCapacity> {
        if claim == Claim::Probe {
            if let Some(Entry { phase: Phase::Idle { since, .. }, .. }) = self.entries.get_mut(&id) {
                *since = now;
            }
            return Ok(());
        }
        let holder = Holder::Stranger(network);
        let own = self.count(&holder);
        let most = network.and(self.terms.most_strangers_per_address).unwrap_or(usize::MAX);
        if claim == Claim::Nothing && own >= most {
            return Err(OverCapacity::Address);
        }
        let limit = self.work_limit();
        if self.working >= limit && !(claim == Claim::Credentials && self.working < self.claim_limit()) {
            let other = self.unfair(&holder, own + 1).ok_or(OverCapacity::Service)?;
            self.evict(other);
        }
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(()) };
        entry.flow.restart(now);
        entry.phase = Phase::Working { holder: holder.clone(), claim };
        self.enter(holder);
        Ok(())
    }

    /// Who sends the request that is under way, now that somebody has looked; none for whoever did not sign in. A user
    /// does not wait for strangers: one of theirs ends where the reserve would be used up.
    pub fn identify(&mut self, id: u64, user: Option<&str>) -> Result<(), OverCapacity> {
        let Some(Entry { phase: Phase::Working { holder, claim }, network, .. }) = self.entries.get_mut(&id)
        else {
            return Ok(());
        };
        let before = holder.clone();
        *claim = Claim::Nothing;
        if let Some(user) = user {
            *holder = Holder::User(user.to_owned());
        }
        let (holder, is_bound) = (holder.clone(), network.is_some());
        self.leave(&before);
        self.enter(holder.clone());
        let own = self.count(&holder);
        let most = self.terms.most_strangers_per_address.filter(|_| is_bound && user.is_none());
        if most.is_some_and(|most| own > most) {
            return Err(OverCapacity::Address);
        }
        if self.working > self.work_limit() {
            let stranger = user.and_then(|_| self.slowest_stranger());
            let other = stranger.or_else(|| self.unfair(&holder, own)).ok_or(OverCapacity::Service)?;
            self.evict(other);
        }
        Ok(())
    }

    /// The request has been answered.
    pub fn finish(&mut self, id: u64, now: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Phase::Working { holder, .. } = &entry.phase else { return };
        let holder = holder.clone();
        entry.phase = Phase::Idle { since: now, was_signed_in: matches!(holder, Holder::User(_)) };
        self.leave(&holder);
    }

    /// The connection is closed.
    pub fn remove(&mut self, id: u64) {
        let Some(entry) = self.entries.remove(&id) else { return };
        if let Phase::Working { holder, .. } = &entry.phase {
            self.leave(holder);
        }
        drop_one(&mut self.networks, &entry.network);
    }

    fn evict(&mut self, id: u64) {
        if let Some(entry) = self.entries.get(&id) {
            entry.end.cancel();
        }
        self.remove(id);
    }

    /// Of idle connections: those where nobody signed in go first, then those of whoever has most, then the longest
    /// idle.
    fn longest_idle(&self, is_meant: impl Fn(&Entry) -> bool) -> Option<u64> {
        let idle = self.entries.iter().filter(|(_, entry)| is_meant(entry)).filter_map(|(id, entry)| {
            let Phase::Idle { since, was_signed_in } = entry.phase else { return None };
            let alike = self.networks.get(&entry.network).copied().unwrap_or_default();
            Some(((was_signed_in, Reverse(alike), since), *id))
        });
        idle.min().map(|(_, id)| id)
    }

    /// Of requests of strangers: of the address that has most, the one that has made no progress for longest.
    fn slowest_stranger(&self) -> Option<u64> {
        self.slowest(|holder| matches!(holder, Holder::Stranger(_)))
    }

    /// A request of somebody of the same kind who has so many more under way than `holder` that it is fair to end it.
    fn unfair(&self, holder: &Holder, own: usize) -> Option<u64> {
        self.slowest(|other| {
            other != holder
                && std::mem::discriminant(other) == std::mem::discriminant(holder)
                && self.count(other) > FAIR_MULTIPLE * own
        })
    }

    /// Of requests of the holder that has most of those that are meant, the one that has made no progress for longest.
    /// Not one whose credentials are still being looked at.
    fn slowest(&self, is_meant: impl Fn(&Holder) -> bool) -> Option<u64> {
        let working = self.entries.iter().filter_map(|(id, entry)| {
            let Phase::Working { holder, claim } = &entry.phase else { return None };
            let is_being_checked = *claim == Claim::Credentials && matches!(holder, Holder::Stranger(_));
            (!is_being_checked && is_meant(holder))
                .then(|| ((Reverse(self.count(holder)), entry.flow.progressed_at()), *id))
        });
        working.min().map(|(_, id)| id)
    }

    fn count(&self, holder: &Holder) -> usize {
        self.work.get(holder).copied().unwrap_or_default()
    }

    fn enter(&mut self, holder: Holder) {
        *self.work.entry(holder).or_default() += 1;
        self.working += 1;
    }

    fn leave(&mut self, holder: &Holder) {
        drop_one(&mut self.work, holder);
        self.working -= 1;
    }

    const fn reserve(&self) -> usize {
        self.terms.most.div_ceil(RESERVED_SHARE)
    }

    /// Requests under way at once; all of those that move bytes are among them.
    fn work_limit(&self) -> usize {
        self.terms.most.saturating_sub(self.reserve()).max(1)
    }

    /// With those whose credentials are being looked at: half of the reserve stays for health probes.
    fn claim_limit(&self) -> usize {
        (self.work_limit() + self.reserve() / 2).min(self.terms.most)
    }
}

fn drop_one<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
