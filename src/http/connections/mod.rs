//! Connections, so that nobody who holds some of them shuts the others out.
//!
//! * Whoever keeps us waiting, with a request or in taking an answer, has to make progress (`flow`).
//! * A newcomer is never left waiting: where there are as many connections as there may be, one that is idle goes,
//!   first of those where nobody signed in (`table`).
//! * Requests under way never have all connections. Of what they have, those of somebody who signed in take from
//!   those of strangers, and whoever has many loses to whoever has few.

mod body;
mod flow;
mod stream;
mod table;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use flow::TransferActivity;
use table::Table;

pub use body::{Lingering, TrackedBody};
pub use stream::Watched;
pub use table::{Claim, OverCapacity, Terms};

/// Between two lines in the log that say that connections are short.
const WARNING_INTERVAL: Duration = Duration::from_mins(1);

/// All connections of one server.
#[derive(Debug)]
pub struct Connections {
    table: Mutex<Table>,
    warned_at: Mutex<Option<Instant>>,
}

/// One of them. It is forgotten when this is dropped.
#[derive(Debug)]
pub struct Connection {
    all: Arc<Connections>,
    id: u64,
    flow: Arc<TransferActivity>,
    end: CancellationToken,
    /// Whether what the handler leaves of the body is not to be read.
    leaves_body: AtomicBool,
}

/// A request under way: until its answer is sent, or given up.
#[derive(Debug)]
pub struct Work(Arc<Connection>);

impl Connections {
    #[must_use]
    pub fn new(terms: Terms) -> Arc<Self> {
        Arc::new(Self { table: Mutex::new(Table::new(terms)), warned_at: Mutex::new(None) })
    }

    /// Takes a connection in, if need be instead of one that is idle. None when there is none that may go.
    pub fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Arc<Connection>> {
        let now = Instant::now();
        let (flow, end) = (Arc::new(TransferActivity::new(now)), CancellationToken::new());
        let mut table = self.table();
        let network = table.network(address);
        let id = table.admit(network, Arc::clone(&flow), end.clone(), now);
        drop(table);
        let Some(id) = id else {
            self.warn("a connection is refused");
            return None;
        };
        Some(Arc::new(Connection {
            all: Arc::clone(self),
            id,
            flow,
            end,
            leaves_body: AtomicBool::new(false),
        }))
    }

    /// Says that connections are short, once in a while: whoever causes it could fill the log otherwise.
    fn warn(&self, what: &'static str) {
        let mut warned_at = self.warned_at.lock().unwrap_or_else(PoisonError::into_inner);
        if warned_at.is_none_or(|at| at.elapsed() > WARNING_INTERVAL) {
            *warned_at = Some(Instant::now());
            tracing::warn!(
                "{what}: all connections are in use (--max-connections, --connections-per-address)"
            );
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    #[must_use]
    pub fn flow(&self) -> Arc<TransferActivity> {
        Arc::clone(&self.flow)
    }

    /// The answer ends the connection, and its client is known to read it while it sends: what it has on its way is not
    /// read.
    pub fn leave_body(&self) {
        self.leaves_body.store(true, Ordering::Relaxed);
    }

    fn leaves_body(&self) -> bool {
        self.leaves_body.load(Ordering::Relaxed)
    }

    /// Ends when the connection has to make room for others.
    pub async fn evicted(&self) {
        self.end.cancelled().await;
    }

    /// Takes a request on that comes from `address`.
    ///
    /// # Errors
    /// When there is no room for it, and nobody has more than a fair share.
    pub fn begin(self: &Arc<Self>, address: Option<IpAddr>, claim: Claim) -> Result<Work, OverCapacity> {
        let mut table = self.all.table();
        let network = table.network(address);
        let begun = table.begin(self.id, network, claim, Instant::now());
        drop(table);
        begun.inspect_err(|_| self.all.warn("a request is refused"))?;
        Ok(Work(Arc::clone(self)))
    }

    /// Says who sends the request that is under way, once that has been looked at; none for whoever did not sign in.
    ///
    /// # Errors
    /// When there is no room for it, and nobody has more than a fair share.
    pub fn identify(&self, user: Option<&str>) -> Result<(), OverCapacity> {
        let identified = self.all.table().identify(self.id, user);
        identified.inspect_err(|_| self.all.warn("a request is refused"))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.table().remove(self.id);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.all.table().finish(self.0.id, Instant::now());
    }
}
