//! Memory that requests share: a budget in bytes, taken before they hold anything, and given out fairly. Turns at what
//! few can do at once are shared in the same way: a budget of so many, of which each takes one.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// Between looks whether somebody waits.
const POLL: Duration = Duration::from_millis(250);

/// Gives to whoever holds least of those who wait; among them, to whoever asked first.
#[derive(Debug)]
pub struct MemoryBudget {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    total: usize,
    free: usize,
    /// Of one caller.
    most: usize,
    held: HashMap<Arc<str>, usize>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    caller: Arc<str>,
    size: usize,
    grant: oneshot::Sender<MemoryShare>,
}

/// Part of a budget; given back when it is dropped.
#[derive(Debug)]
pub struct MemoryShare {
    budget: Arc<MemoryBudget>,
    caller: Arc<str>,
    size: usize,
}

impl MemoryBudget {
    /// Of so many bytes, of which one caller may hold `most`.
    #[must_use]
    pub fn new(total: usize, most: usize) -> Arc<Self> {
        let state = State { total, free: total, most, held: HashMap::new(), waiting: VecDeque::new() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Waits for so many bytes. Who gives up waiting has taken nothing.
    pub async fn take(self: &Arc<Self>, caller: &Arc<str>, size: usize) -> MemoryShare {
        let (grant, granted) = oneshot::channel();
        self.state().waiting.push_back(Waiting { caller: Arc::clone(caller), size, grant });
        self.give();
        match granted.await {
            Ok(share) => share,
            // Who waits is answered, or the budget is gone, and with it whoever could wait.
            Err(_) => std::future::pending().await,
        }
    }

    /// No bytes yet, to be grown.
    #[must_use]
    pub fn share(self: &Arc<Self>, caller: &Arc<str>) -> MemoryShare {
        MemoryShare { budget: Arc::clone(self), caller: Arc::clone(caller), size: 0 }
    }

    /// Makes it at least so large.
    pub fn grow_to(self: &Arc<Self>, total: usize) {
        let mut state = self.state();
        let more = total.saturating_sub(state.total);
        state.total += more;
        state.free += more;
        state.most = state.most.max(total);
        drop(state);
        self.give();
    }

    /// Ends once somebody waits.
    pub async fn wanted(&self) {
        while !self.state().waiting.iter().any(|waiting| !waiting.grant.is_closed()) {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Gives what is free to those who wait.
    fn give(self: &Arc<Self>) {
        let mut given = Vec::new();
        let mut state = self.state();
        while let Some(Waiting { caller, size, grant }) = state.next() {
            state.enter(&caller, size);
            given.push((grant, MemoryShare { budget: Arc::clone(self), caller, size }));
        }
        drop(state);
        for (grant, share) in given {
            // One who has given up just now gives it back by that.
            let _ = grant.send(share);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes out whose turn it is, if there is room. Whoever has as much as one caller may have is passed over; nobody
    /// else is, so that whoever needs much is not kept waiting by those who need little.
    fn next(&mut self) -> Option<Waiting> {
        self.waiting.retain(|waiting| !waiting.grant.is_closed());
        let turns = self.waiting.iter().enumerate();
        let allowed = turns.filter(|(_, waiting)| {
            let held = self.held(&waiting.caller);
            held == 0 || held + waiting.size <= self.most
        });
        let (index, waiting) = allowed.min_by_key(|(_, waiting)| self.held(&waiting.caller))?;
        if waiting.size > self.free {
            return None;
        }
        self.waiting.remove(index)
    }

    fn held(&self, caller: &Arc<str>) -> usize {
        self.held.get(caller).copied().unwrap_or_default()
    }

    fn enter(&mut self, caller: &Arc<str>, size: usize) {
        *self.held.entry(Arc::clone(caller)).or_default() += size;
        self.free -= size;
    }

    fn leave(&mut self, caller: &Arc<str>, size: usize) {
        self.free += size;
        if let Some(held) = self.held.get_mut(caller) {
            *held -= size;
            if *held == 0 {
                self.held.remove(caller);
            }
        }
    }
}

impl MemoryShare {
    /// Whose it is.
    #[must_use]
    pub const fn caller(&self) -> &Arc<str> {
        &self.caller
    }

    /// In bytes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Takes so many more, if its caller leaves as many free as it then holds: however many there are, each finds
    /// something, and none can take all (dynamic thresholds, as switches share their buffers: Choudhury and Hahne,
    /// 1998).
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let mut state = self.budget.state();
        let held = state.held(&self.caller);
        if held + bytes + bytes > state.free {
            return false;
        }
        state.enter(&self.caller, bytes);
        drop(state);
        self.size += bytes;
        true
    }

    /// Ends once somebody waits for memory of this budget.
    pub async fn wanted(&self) {
        self.budget.wanted().await;
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        if self.size > 0 {
            self.budget.state().leave(&self.caller, self.size);
            self.budget.give();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn caller(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    #[tokio::test]
    async fn who_holds_least_is_next_and_nobody_is_passed_over_for_a_smaller_wish() {
        let (budget, ann, bob) = (MemoryBudget::new(12, 12), caller("ann"), caller("bob"));
        let mut held = vec![budget.take(&ann, 5).await, budget.take(&ann, 5).await];
        let (mut bobs, mut anns) = (Box::pin(budget.take(&bob, 7)), Box::pin(budget.take(&ann, 2)));
        assert!((&mut bobs).now_or_never().is_none(), "2 are free");
        assert!((&mut anns).now_or_never().is_none(), "bob is before her, who holds nothing");
        held.pop();
        let bobs = bobs.now_or_never().expect("7 are free");
        assert!((&mut anns).now_or_never().is_none());
        drop(bobs);
        anns.now_or_never().expect("nobody else waits");
    }

    #[tokio::test]
    async fn one_caller_leaves_room_for_others_and_who_gives_up_holds_nothing() {
        let (budget, ann, bob) = (MemoryBudget::new(10, 5), caller("ann"), caller("bob"));
        let first = budget.take(&ann, 5).await;
        {
            let mut second = Box::pin(budget.take(&ann, 1));
            assert!((&mut second).now_or_never().is_none());
            budget.take(&bob, 5).now_or_never().expect("half is kept for others");
            budget.wanted().now_or_never().expect("ann waits");
        }
        assert!(budget.wanted().now_or_never().is_none(), "she gave up");
        drop(first);
        let all = budget.take(&ann, 8).now_or_never().expect("more than its share, where it holds nothing");
        drop(all);
        let state = budget.state();
        assert!(state.free == 10 && state.held.is_empty() && state.waiting.is_empty());
    }

    #[test]
    fn shares_that_grow_leave_something_for_whoever_comes_next() {
        let budget = MemoryBudget::new(64, 64);
        let mut shares: Vec<_> = ["ann", "ann", "bob"].map(|name| budget.share(&caller(name))).into();
        let all = |share: &mut MemoryShare| {
            std::iter::repeat_with(|| share.try_grow(1)).take_while(|grown| *grown).count()
        };
        let anns = all(&mut shares[0]);
        assert_eq!((anns, all(&mut shares[1])), (32, 0), "half of it for all of hers together");
        assert_eq!(all(&mut shares[2]), 16, "half of the rest");
        shares.clear();
        assert_eq!(budget.state().free, 64);
    }
}
