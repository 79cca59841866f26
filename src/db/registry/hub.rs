//! Repositories of the Hugging Face Hub. A tree holds its blobs as a manifest does: whoever writes one locks the links of the
//! blobs that are new, in the order that all take, and then the reference that it moves. See `links.rs`.

// Statements.
pub(in crate::db) mod texts;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::FromRow;

use self::texts::{
    COMMIT_OF_REF, DELETE, DELETE_COMMITS, DELETE_ENTRIES, DELETE_REF, DELETE_REFS, END, ENDED, ENTRIES,
    ENTRY, FIND, HISTORY, INSERT, INSERT_COMMIT, INSERT_ENTRIES, INSERT_REF, LIST, LOCK_ENDED, LOCK_REF,
    MOVE_REF, REFS, SOME_ENTRIES,
};
use crate::db::registry::links::MARK_UNNEEDED;
use crate::db::registry::manifests::texts::{KEEP, LOCK_LINKS, LOCK_REFERENCES};
use crate::db::text::digests;
use crate::db::{Db, DbError, Result, corrupt, in_transaction, on_pool};
use crate::domain::digest::Digest;
use crate::domain::hub::git::{Commit, GitFile, GitOid, Tree, TreeEntry};
use crate::domain::hub::{HubName, HubRepository, MAX_REFS, Ref, RefKind};
use crate::domain::name::RepositoryName;

/// Entries written by one statement: some hundred kilobytes of JSON.
const ENTRIES_AT_ONCE: usize = 1_000;

/// A repository's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundHubRepository {
    pub repository: HubRepository,
    /// It is not there for anybody any more.
    pub is_deleted: bool,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advanced {
    Done,
    /// The branch points elsewhere, or is not there.
    Moved,
    /// The repository does not have these blobs, or they cannot be read yet.
    Missing(Vec<Digest>),
}

#[derive(Debug, FromRow)]
struct RepositoryRow {
    kind: String,
    full_name: String,
    created_at: DateTime<Utc>,
    is_deleted: bool,
}

#[derive(Debug, FromRow)]
struct CommitRow {
    oid: Vec<u8>,
    tree_oid: Vec<u8>,
    parent_oid: Option<Vec<u8>>,
    author: String,
    message: String,
    committed_at: DateTime<Utc>,
}

#[derive(Debug, FromRow)]
struct EntryRow {
    name: String,
    oid: Vec<u8>,
    kind: String,
    digest: Option<Digest>,
    size: Option<i64>,
}

fn oid(table: &'static str, column: &'static str, bytes: &[u8]) -> Result<GitOid> {
    GitOid::from_bytes(bytes)
        .ok_or_else(|| corrupt(table, column, &hex::encode(bytes), &"it is no SHA-1 of 20 bytes"))
}

impl TryFrom<RepositoryRow> for FoundHubRepository {
    type Error = DbError;

    fn try_from(row: RepositoryRow) -> Result<Self> {
        let RepositoryRow { kind, full_name, created_at, is_deleted } = row;
        let kind = kind.parse().map_err(|error| corrupt("hub_repository", "kind", &full_name, &error))?;
        let name = HubName::new(kind, &full_name);
        let name = name.map_err(|error| corrupt("hub_repository", "full_name", &full_name, &error))?;
        Ok(Self { repository: HubRepository { name, created_at }, is_deleted })
    }
}

impl TryFrom<CommitRow> for Commit {
    type Error = DbError;

    fn try_from(row: CommitRow) -> Result<Self> {
        let parent = row.parent_oid.as_deref().map(|bytes| oid("hub_commit", "parent_oid", bytes));
        Ok(Self {
            oid: oid("hub_commit", "oid", &row.oid)?,
            tree: oid("hub_commit", "tree_oid", &row.tree_oid)?,
            parent: parent.transpose()?,
            author: row.author,
            message: row.message,
            at: row.committed_at,
        })
    }
}

impl TryFrom<EntryRow> for (String, TreeEntry) {
    type Error = DbError;

    fn try_from(EntryRow { name, oid: bytes, kind, digest, size }: EntryRow) -> Result<Self> {
        let oid = oid("hub_tree_entry", "oid", &bytes)?;
        let entry = match digest.zip(size) {
            None => TreeEntry::Directory(oid),
            Some((digest, size)) => {
                TreeEntry::File(GitFile { oid, digest, size: size.unsigned_abs(), is_lfs: kind == "lfs" })
            }
        };
        Ok((name, entry))
    }
}

fn as_json(tree: &GitOid, name: &str, entry: &TreeEntry) -> Value {
    let (oid, kind, digest) = match entry {
        TreeEntry::Directory(oid) => (oid, "directory", None),
        TreeEntry::File(file) if file.is_lfs => (&file.oid, "lfs", Some(file.digest.hex())),
        TreeEntry::File(file) => (&file.oid, "regular", Some(file.digest.hex())),
    };
    json!({ "tree": tree.to_string(), "name": name, "oid": oid.to_string(), "kind": kind, "digest": digest })
}

/// Writes a commit's row.
macro_rules! insert_commit {
    ($transaction:ident, $repository:expr, $commit:expr) => {
        sqlx::query(INSERT_COMMIT)
            .bind($repository)
            .bind($commit.oid.as_bytes())
            .bind($commit.tree.as_bytes())
            .bind($commit.parent.as_ref().map(GitOid::as_bytes))
            .bind(&$commit.author)
            .bind(&$commit.message)
            .bind($commit.at)
            .execute(&mut *$transaction)
            .await?
    };
}

impl Db {
    /// Makes a repository whose branch `main` points to a first commit, of nothing; false where there is one.
    pub async fn insert_hub_repository(
        &self,
        name: &HubName,
        main: &str,
        first: &Commit,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let (repository, name, first) = (name.repository().to_string(), name.clone(), first.clone());
        let (main, insert_ref) = (main.to_owned(), self.text(INSERT_REF));
        self.make_repository(&repository).await?;
        in_transaction!(self, transaction => {
            let made = sqlx::query(INSERT)
                .bind(&repository)
                .bind(name.kind.as_str())
                .bind(name.full_name())
                .bind(now)
                .execute(&mut *transaction)
                .await?;
            let is_made = made.rows_affected() > 0;
            if is_made {
                insert_commit!(transaction, &repository, first);
                let insert = sqlx::query(insert_ref).bind(&repository).bind(&main).bind(first.oid.as_bytes());
                insert.bind(MAX_REFS).execute(&mut *transaction).await?;
            }
            is_made
        })
    }

    pub async fn find_hub_repository(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<FoundHubRepository>> {
        let row: Option<RepositoryRow> = on_pool!(self, pool =>
            sqlx::query_as(FIND).bind(repository.as_str()).fetch_optional(pool).await)?;
        row.map(FoundHubRepository::try_from).transpose()
    }

    /// Those whose repositories' names come after `after` and before `end`, in their order.
    pub async fn hub_repositories(&self, after: &str, end: &str, limit: u32) -> Result<Vec<HubRepository>> {
        let rows: Vec<RepositoryRow> = on_pool!(self, pool => sqlx::query_as(LIST)
            .bind(after)
            .bind(end)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        rows.into_iter().map(|row| Ok(FoundHubRepository::try_from(row)?.repository)).collect()
    }

    /// From here on nobody finds the repository, and nobody can commit; false where it was not there.
    pub async fn end_hub_repository(&self, repository: &RepositoryName, now: DateTime<Utc>) -> Result<bool> {
        let repository = repository.to_string();
        in_transaction!(self, transaction => {
            let ended = sqlx::query(END).bind(&repository).bind(now).execute(&mut *transaction).await?;
            sqlx::query(DELETE_REFS).bind(&repository).execute(&mut *transaction).await?;
            ended.rows_affected() > 0
        })
    }

    /// Deletes some of what an ended repository has, and marks blobs that nothing needs any more; true once all is gone.
    pub async fn empty_hub_repository(
        &self,
        repository: &RepositoryName,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<bool> {
        let (lock_links, mark) = (self.text(LOCK_REFERENCES), self.text(MARK_UNNEEDED));
        let lock = self.text(LOCK_ENDED);
        let repository = repository.to_string();
        in_transaction!(self, transaction => {
            let ended = sqlx::query(lock).bind(&repository).fetch_optional(&mut *transaction).await?;
            if ended.is_none() {
                return Ok(true);
            }
            let some = sqlx::query_as(SOME_ENTRIES).bind(&repository).bind(i64::from(limit));
            let some: Vec<(Vec<u8>, String, Option<i64>)> = some.fetch_all(&mut *transaction).await?;
            if let Some((tree, name, _)) = some.last() {
                let links = json!(some.iter().filter_map(|(.., blob)| *blob).collect::<BTreeSet<_>>());
                sqlx::query(lock_links).bind(&repository).bind(&links).execute(&mut *transaction).await?;
                let delete = sqlx::query(DELETE_ENTRIES).bind(&repository).bind(tree).bind(name);
                delete.execute(&mut *transaction).await?;
                sqlx::query(mark).bind(&repository).bind(&links).bind(now).execute(&mut *transaction).await?;
                false
            } else {
                let delete = sqlx::query(DELETE_COMMITS).bind(&repository).bind(i64::from(limit));
                let is_empty = delete.execute(&mut *transaction).await?.rows_affected() < u64::from(limit);
                if is_empty {
                    sqlx::query(DELETE).bind(&repository).execute(&mut *transaction).await?;
                }
                is_empty
            }
        })
    }

    /// Some of the repositories that are being deleted, and are perhaps by nobody any more.
    pub async fn ended_hub_repositories(&self, limit: u32) -> Result<Vec<RepositoryName>> {
        Ok(on_pool!(self, pool =>
            sqlx::query_scalar(ENDED).bind(i64::from(limit)).fetch_all(pool).await)?)
    }

    /// What the first of two references points to that is there, in the order of their names.
    pub async fn commit_of_ref(
        &self,
        repository: &RepositoryName,
        [one, other]: [&str; 2],
    ) -> Result<Option<Commit>> {
        let row: Option<CommitRow> = on_pool!(self, pool => sqlx::query_as(COMMIT_OF_REF)
            .bind(repository.as_str())
            .bind(one)
            .bind(other)
            .fetch_optional(pool)
            .await)?;
        row.map(Commit::try_from).transpose()
    }

    /// A commit and those before it, at most `limit`; none where there is no such commit.
    pub async fn commits_back_from(
        &self,
        repository: &RepositoryName,
        from: &GitOid,
        limit: u32,
    ) -> Result<Vec<Commit>> {
        let sql = self.text(HISTORY);
        let rows: Vec<CommitRow> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(repository.as_str())
            .bind(from.as_bytes())
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        rows.into_iter().map(Commit::try_from).collect()
    }

    pub async fn tree_entry(
        &self,
        repository: &RepositoryName,
        tree: &GitOid,
        name: &str,
    ) -> Result<Option<TreeEntry>> {
        let row: Option<EntryRow> = on_pool!(self, pool => sqlx::query_as(ENTRY)
            .bind(repository.as_str())
            .bind(tree.as_bytes())
            .bind(name)
            .fetch_optional(pool)
            .await)?;
        row.map(|row| <(String, TreeEntry)>::try_from(row).map(|(_, entry)| entry)).transpose()
    }

    /// Entries of a tree whose names come after `after`, in the order of their bytes.
    pub async fn tree_entries(
        &self,
        repository: &RepositoryName,
        tree: &GitOid,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, TreeEntry)>> {
        let rows: Vec<EntryRow> = on_pool!(self, pool => sqlx::query_as(ENTRIES)
            .bind(repository.as_str())
            .bind(tree.as_bytes())
            .bind(after)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(pool)
            .await)?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Writes a commit with the trees that are new, whose files need these blobs, and has a reference point to it, if that
    /// points to the commit's parent.
    pub async fn advance_ref(
        &self,
        repository: &RepositoryName,
        name: &str,
        commit: &Commit,
        trees: Vec<(GitOid, Tree)>,
        needed: BTreeSet<Digest>,
    ) -> Result<Advanced> {
        let (lock_links, lock, insert) =
            (self.text(LOCK_LINKS), self.text(LOCK_REF), self.text(INSERT_ENTRIES));
        let keep = self.text(KEEP);
        let (repository, name, commit) = (repository.to_string(), name.to_owned(), commit.clone());
        // Two commits that make the same trees wait for each other in one order.
        let mut trees = trees;
        trees.sort_unstable_by_key(|(tree, _)| *tree);
        in_transaction!(self, transaction => {
            let links = sqlx::query_as(lock_links).bind(&repository).bind(digests(&needed));
            let links: Vec<(i64, Digest, bool)> = links.fetch_all(&mut *transaction).await?;
            let found: BTreeSet<_> = links.iter().map(|(_, digest, _)| *digest).collect();
            if found.len() < needed.len() {
                return Ok(Advanced::Missing(needed.difference(&found).copied().collect()));
            }
            let held = sqlx::query_scalar(lock).bind(&repository).bind(&name);
            let held: Option<Vec<u8>> = held.fetch_optional(&mut *transaction).await?;
            if held.as_deref() != commit.parent.as_ref().map(GitOid::as_bytes) {
                return Ok(Advanced::Moved);
            }
            let mut entries = Vec::new();
            for (index, (tree, names)) in trees.iter().enumerate() {
                for (place, (name, entry)) in names.iter().enumerate() {
                    entries.push(as_json(tree, name, entry));
                    let is_last = index + 1 == trees.len() && place + 1 == names.len();
                    if is_last || entries.len() == ENTRIES_AT_ONCE {
                        let some = Value::from(std::mem::take(&mut entries));
                        sqlx::query(insert).bind(&repository).bind(some).execute(&mut *transaction).await?;
                    }
                }
            }
            insert_commit!(transaction, &repository, commit);
            let moved = sqlx::query(MOVE_REF).bind(&repository).bind(&name).bind(commit.oid.as_bytes());
            moved.execute(&mut *transaction).await?;
            let unreferenced = links.iter().filter(|(.., is_unreferenced)| *is_unreferenced);
            let kept = json!(unreferenced.map(|(id, ..)| *id).collect::<Vec<_>>());
            sqlx::query(keep).bind(&repository).bind(kept).execute(&mut *transaction).await?;
            Advanced::Done
        })
    }

    /// Branches and tags, in the order of their names.
    pub async fn hub_refs(&self, repository: &RepositoryName) -> Result<Vec<Ref>> {
        let rows: Vec<(String, Vec<u8>)> = on_pool!(self, pool => sqlx::query_as(REFS)
            .bind(repository.as_str())
            .bind(MAX_REFS)
            .fetch_all(pool)
            .await)?;
        let read = |(name, commit): (String, Vec<u8>)| {
            let mut kinds = RefKind::ALL.into_iter();
            let found = kinds.find_map(|kind| Some((kind, name.strip_prefix(kind.as_str())?.to_owned())));
            let (kind, short) = found.ok_or_else(|| corrupt("hub_ref", "name", &name, &"no kind of it"))?;
            Ok(Ref { kind, name: short, commit: oid("hub_ref", "commit_oid", &commit)? })
        };
        rows.into_iter().map(read).collect()
    }

    /// False where there is one of this name, or the repository has as many as it may.
    pub async fn insert_hub_ref(
        &self,
        repository: &RepositoryName,
        name: &str,
        commit: &GitOid,
    ) -> Result<bool> {
        let insert = self.text(INSERT_REF);
        let inserted = on_pool!(self, pool => sqlx::query(insert)
            .bind(repository.as_str())
            .bind(name)
            .bind(commit.as_bytes())
            .bind(MAX_REFS)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(inserted > 0)
    }

    /// False where there is none. What it pointed to stays.
    pub async fn delete_hub_ref(&self, repository: &RepositoryName, name: &str) -> Result<bool> {
        let deleted = on_pool!(self, pool => sqlx::query(DELETE_REF)
            .bind(repository.as_str())
            .bind(name)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(deleted > 0)
    }
}
