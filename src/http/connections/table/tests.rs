use super::*;

/// Sixteen connections, of which two are kept for newcomers; four for one address.
const TERMS: Terms = Terms {
    most: 16,
    most_per_address: Some(4),
    most_strangers_per_address: Some(4),
    includes_loopback: false,
};
/// As many requests can be under way.
const WORK: usize = 14;

struct Fixture {
    table: Table,
    now: Instant,
    ends: HashMap<u64, CancellationToken>,
}

impl Fixture {
    fn new(terms: Terms) -> Self {
        Self { table: Table::new(terms), now: Instant::now(), ends: HashMap::new() }
    }

    fn admit(&mut self, address: &str) -> Option<u64> {
        self.now += Duration::from_secs(1);
        let (network, end) = (self.network(address), CancellationToken::new());
        let flow = Arc::new(TransferActivity::new(self.now));
        let id = self.table.admit(network, flow, end.clone(), self.now)?;
        self.ends.insert(id, end);
        Some(id)
    }

    fn begin(&mut self, id: u64, address: &str, claim: Claim) -> Result<(), OverCapacity> {
        self.now += Duration::from_secs(1);
        let network = self.network(address);
        self.table.begin(id, network, claim, self.now)
    }

    /// A connection with a request under way.
    fn work(&mut self, address: &str, user: Option<&str>) -> Result<u64, OverCapacity> {
        let id = self.admit(address).ok_or(OverCapacity::Service)?;
        let claim = if user.is_some() { Claim::Credentials } else { Claim::Nothing };
        self.begin(id, address, claim)?;
        self.table.identify(id, user)?;
        Ok(id)
    }

    fn network(&self, address: &str) -> Option<Network> {
        self.table.network(Some(address.parse().expect("an address")))
    }

    fn is_evicted(&self, id: u64) -> bool {
        self.ends[&id].is_cancelled()
    }
}

fn stranger(number: usize) -> String {
    format!("192.0.2.{number}")
}

#[test]
fn a_newcomer_takes_the_place_of_whoever_is_idle_without_having_signed_in() {
    let mut fixture = Fixture::new(TERMS);
    let user = fixture.work("192.0.2.99", Some("ann")).expect("room");
    fixture.table.finish(user, fixture.now);
    let idle: Vec<_> = (0..15).filter_map(|number| fixture.admit(&stranger(number))).collect();
    assert_eq!(idle.len(), 15);
    for (number, id) in idle.into_iter().enumerate() {
        fixture.admit(&stranger(100 + number)).expect("the longest idle one goes");
        assert!(fixture.is_evicted(id) && !fixture.is_evicted(user), "{number}");
    }
}

#[test]
fn an_address_has_its_share_and_takes_only_its_own_places() {
    let mut fixture = Fixture::new(TERMS);
    let other = fixture.admit("192.0.2.2").expect("room");
    let own: Vec<_> = (0..4).filter_map(|_| fixture.admit("192.0.2.1")).collect();
    fixture.admit("192.0.2.1").expect("one of its own goes");
    assert!(fixture.is_evicted(own[0]) && !fixture.is_evicted(other));
    let mut fixture = Fixture::new(TERMS);
    for _ in 0..4 {
        fixture.work("192.0.2.1", Some("ann")).expect("room");
    }
    assert_eq!(fixture.admit("192.0.2.1"), None, "all of its own are under way");
    // The addresses of one /64 are one subscriber's; those of this machine are bound by no share.
    for number in 0..4 {
        fixture.work(&format!("2001:db8::{number:x}"), Some("bob")).expect("room");
    }
    assert_eq!(fixture.admit("2001:db8::ffff"), None);
    assert!(fixture.admit("2001:db8:0:1::1").is_some());
    for _ in 0..3 {
        assert!(fixture.admit("127.0.0.1").is_some() && fixture.admit("::1").is_some());
    }
}

#[test]
fn strangers_at_work_leave_a_reserve_in_which_probes_and_credentials_are_looked_at() {
    let mut fixture = Fixture::new(TERMS);
    for number in 0..WORK {
        fixture.work(&stranger(number), None).expect("room");
    }
    assert_eq!(fixture.work("192.0.2.99", None), Err(OverCapacity::Service));
    for _ in 0..100 {
        let probe = fixture.admit("192.0.2.98").expect("an idle one goes");
        fixture.begin(probe, "192.0.2.98", Claim::Probe).expect("always answered");
        assert!(!fixture.is_evicted(probe));
    }
    // Somebody who says to be a user, and is none, has no more than a stranger.
    let liar = fixture.admit("192.0.2.97").expect("an idle one goes");
    fixture.begin(liar, "192.0.2.97", Claim::Credentials).expect("it is looked at");
    let another = fixture.admit("192.0.2.96").expect("an idle one goes");
    assert_eq!(fixture.begin(another, "192.0.2.96", Claim::Credentials), Err(OverCapacity::Service));
    assert_eq!(fixture.table.identify(liar, None), Err(OverCapacity::Service));
    assert_eq!(fixture.table.working, WORK + 1, "until the refusal is answered");
}

#[test]
fn who_signs_in_takes_the_place_of_the_slowest_stranger() {
    let mut fixture = Fixture::new(TERMS);
    let strangers: Vec<_> =
        (0..WORK).map(|number| fixture.work(&stranger(number), None).expect("room")).collect();
    // All but one have moved something meanwhile.
    fixture.now += Duration::from_mins(1);
    for id in strangers.iter().filter(|id| **id != strangers[7]) {
        fixture.table.entries[id].flow.restart(fixture.now);
    }
    fixture.work("198.51.100.1", Some("ann")).expect("a stranger goes");
    assert!(fixture.is_evicted(strangers[7]));
    for number in 2..=WORK {
        let user = format!("user {number}");
        fixture.work(&format!("198.51.100.{number}"), Some(&user)).expect("a stranger goes");
    }
    assert!(strangers.iter().all(|id| fixture.is_evicted(*id)));
    assert_eq!(
        fixture.work("192.0.2.3", None),
        Err(OverCapacity::Service),
        "a stranger takes nothing from a user"
    );
}

#[test]
fn who_has_many_loses_to_who_has_few() {
    let mut fixture = Fixture::new(Terms { most_per_address: None, ..TERMS });
    let first: Vec<_> = (0..WORK).map(|_| fixture.work("192.0.2.1", Some("ann")).expect("room")).collect();
    let one_more = fixture.admit("192.0.2.1").expect("an idle one goes");
    fixture.begin(one_more, "192.0.2.1", Claim::Credentials).expect("it is looked at");
    assert_eq!(
        fixture.table.identify(one_more, Some("ann")),
        Err(OverCapacity::Service),
        "nothing of her own goes"
    );
    fixture.table.remove(one_more);
    let own = fixture.work("192.0.2.2", Some("bob")).expect("one of ann's goes");
    assert!(fixture.is_evicted(first[0]) && !fixture.is_evicted(own));
    assert_eq!(fixture.table.count(&Holder::User("ann".to_owned())), WORK - 1);
}

#[test]
fn nothing_stays_of_connections_that_are_gone() {
    let mut fixture = Fixture::new(TERMS);
    let ids: Vec<_> = (0..WORK)
        .map(|number| fixture.work(&stranger(number), (number % 2 == 0).then_some("ann")).expect("room"))
        .collect();
    for (number, id) in ids.into_iter().enumerate() {
        if number % 3 == 0 {
            fixture.table.finish(id, fixture.now);
        }
        fixture.table.remove(id);
        fixture.table.finish(id, fixture.now);
        fixture.table.remove(id);
    }
    let table = fixture.table;
    assert!(table.entries.is_empty() && table.networks.is_empty() && table.work.is_empty());
    assert_eq!(table.working, 0);
}
