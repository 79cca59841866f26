//! What ends with a project, a user or a robot: the sessions that are open in its name, and its locks on files. Whoever
//! comes to have the name neither goes on with them nor pays for what they hold. They end as well when a name is given
//! out, for what was begun in its name in between.

/// As `Upload::abort` leaves a session, and whatever works on it: that finds out at its next swap. The cleaner discards
/// what it has stored.
macro_rules! abort {
    ($which:literal) => {
        concat!(
            "UPDATE blob_upload_session
            SET status = 'aborted', updated_at = $2, ended_at = $2,
                discarded_at = CASE WHEN status = 'pending' AND transfer_mode IS NULL THEN $2 END,
                transfer_mode = NULL, claimed_digest = NULL, part_size = NULL, store_upload_id = NULL,
                received_offset = 0, hash_state = NULL, tail_id = NULL, look_at = NULL, lease_owner = NULL,
                lease_expires_at = NULL, revision = revision + 1
            WHERE ended_at IS NULL AND ",
            $which
        )
    };
}

/// The statements that end what is in a name, `$1`.
#[derive(Debug, Clone, Copy)]
pub(in crate::db) struct Ends {
    pub sessions: &'static str,
    pub file_locks: &'static str,
}

pub(in crate::db) const OF_USER: Ends =
    Ends { sessions: abort!("user_id = $1"), file_locks: "DELETE FROM file_lock WHERE owner_name = $1" };

/// Names with a slash after the project's lie between `/` and `0`, the character that follows. Seldom enough to look at
/// all open sessions.
pub(in crate::db) const OF_PROJECT: Ends = Ends {
    sessions: abort!(
        "(repository_name = $1 OR (repository_name > $1 || '/' AND repository_name < $1 || '0'))"
    ),
    file_locks: "DELETE FROM file_lock WHERE repository_id IN (SELECT id FROM repository WHERE project_name = $1)",
};

/// Ends the open sessions and the locks of a user or a robot, or of a project, in a transaction.
macro_rules! end_all {
    ($transaction:ident, $ends:expr, $name:expr, $now:expr) => {{
        let ends: $crate::db::accounts::ends::Ends = $ends;
        sqlx::query(ends.sessions).bind($name).bind($now).execute(&mut *$transaction).await?;
        sqlx::query(ends.file_locks).bind($name).execute(&mut *$transaction).await?;
    }};
}
pub(in crate::db) use end_all;
