//! Sessions that begin at the same moment are inserted by one statement: while two are under way, those that come wait for
//! one of them, and the next has them all. It costs the database a fraction of a statement each. Nobody waits long for others: a
//! session that is not taken in time, or whose statement failed, is inserted alone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::db::{DbError, NewSession};
use crate::domain::upload::UploadId;
use crate::service::Service;

/// Sessions in one statement: some 40 KiB of parameters.
const AT_ONCE: usize = 64;
/// Statements under way: with one alone the database would idle while the next is made.
const STATEMENTS: usize = 2;
/// A statement takes milliseconds. One that takes longer may be on a connection that has died.
const PATIENCE: Duration = Duration::from_millis(250);

/// Whether the session was inserted, as `Db::insert_unlimited` tells.
type Answer = Result<bool, DbError>;

/// The sessions that wait to be inserted.
#[derive(Debug, Default)]
pub struct InsertQueue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    sessions: Vec<(NewSession, oneshot::Sender<Answer>)>,
    /// How many take them.
    takers: usize,
}

impl InsertQueue {
    /// Adds one; says whether one more has to take those that wait.
    fn push(&self, session: NewSession, answer: oneshot::Sender<Answer>) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.sessions.push((session, answer));
        let is_wanted = waiting.takers < STATEMENTS;
        waiting.takers += usize::from(is_wanted);
        is_wanted
    }

    /// Takes those that wait. Whoever gets none is done.
    fn take(&self) -> Vec<(NewSession, oneshot::Sender<Answer>)> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let most = waiting.sessions.len().min(AT_ONCE);
        if most == 0 {
            waiting.takers = waiting.takers.saturating_sub(1);
        }
        waiting.sessions.drain(..most).collect()
    }

    /// Takes one back, if nobody has taken it.
    fn withdraw(&self, id: UploadId) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = waiting.sessions.len();
        waiting.sessions.retain(|(session, _)| session.upload.id != id);
        waiting.sessions.len() < before
    }
}

impl Service {
    /// Inserts a session with others. None where it has to be inserted alone.
    pub(super) async fn insert_together(self: &Arc<Self>, session: NewSession) -> Option<Answer> {
        let id = session.upload.id;
        let (answer, mut inserted) = oneshot::channel();
        if self.inserts.push(session, answer) {
            let service = Arc::clone(self);
            self.tasks.spawn(async move { service.insert_waiting().await });
        }
        match tokio::time::timeout(PATIENCE, &mut inserted).await {
            Ok(inserted) => inserted.ok(),
            Err(_) if self.inserts.withdraw(id) => None,
            // In a statement that is under way: only that can tell.
            Err(_) => inserted.await.ok(),
        }
    }

    async fn insert_waiting(&self) {
        loop {
            let (sessions, mut answers): (Vec<_>, Vec<_>) = self.inserts.take().into_iter().unzip();
            if sessions.is_empty() {
                return;
            }
            match self.db.insert_unlimited(&sessions).await {
                Ok(inserted) => {
                    for (answer, is_inserted) in answers.into_iter().zip(inserted) {
                        // Whoever is gone has no use for it; the session expires.
                        drop(answer.send(Ok(is_inserted)));
                    }
                }
                Err(error) if answers.len() == 1 => {
                    drop(answers.pop().map(|answer| answer.send(Err(error))));
                }
                // It may have been one session's fault: without an answer each is inserted alone.
                Err(error) => {
                    tracing::debug!(%error, sessions = sessions.len(), "sessions are inserted one by one");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::upload::Upload;
    use chrono::DateTime;

    fn session() -> NewSession {
        let name = "team/app".parse().expect("a name");
        let now = DateTime::UNIX_EPOCH;
        let upload = Upload::begin(name, None, serde_json::Value::Null, now, now);
        NewSession { upload, temp_path: "temp/x/".to_owned(), door: None }
    }

    #[test]
    fn two_take_all_that_wait_and_are_asked_again_once_there_was_nothing() {
        let queue = InsertQueue::default();
        let push = |session| queue.push(session, oneshot::channel().0);
        assert!(push(session()) && push(session()), "two have to take them");
        assert!(!push(session()));
        assert_eq!(queue.take().len(), 3);
        assert!(!push(session()), "whoever took those comes again");
        assert_eq!(queue.take().len(), 1);
        assert!(queue.take().is_empty());
        assert!(push(session()), "one of the two is done");
        for _ in 0..AT_ONCE {
            assert!(!push(session()));
        }
        assert_eq!((queue.take().len(), queue.take().len()), (AT_ONCE, 1));
        assert!(queue.take().is_empty() && queue.take().is_empty());
        assert!(push(session()) && push(session()) && !push(session()));
    }

    #[test]
    fn what_was_taken_cannot_be_taken_back() {
        let queue = InsertQueue::default();
        let (one, other) = (session(), session());
        let ids = [one.upload.id, other.upload.id];
        queue.push(one, oneshot::channel().0);
        assert!(queue.withdraw(ids[0]));
        assert!(!queue.withdraw(ids[0]), "it is there no more");
        queue.push(other, oneshot::channel().0);
        assert_eq!(queue.take().len(), 1);
        assert!(!queue.withdraw(ids[1]));
    }
}
