//! Files by their paths. A path holds its blob as a manifest does: whoever puts or deletes one locks the links of the blobs
//! that it names and has named, in the order that all take, then the file, and looks at what needs the blobs afterwards. See
//! `links.rs`.

// Statements.
pub(in crate::db) mod texts;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::FromRow;

use crate::db::registry::files::texts::{
    BATCH, BELOW, BLOB_OF, DELETE, DELETE_ALL, ENTRIES, FIND, INSERT, LOCK, LOCK_ALL, READABLE, UPDATE,
};
use crate::db::registry::links::MARK_UNNEEDED;
use crate::db::registry::manifests::texts::{KEEP, LOCK_REFERENCES};
use crate::db::{Db, DbError, Result, corrupt, in_transaction, on_pool};
use crate::domain::digest::Digest;
use crate::domain::file::{DirectoryEntry, LEAST, NewFile, StoredFile, after};
use crate::domain::media_type::MediaType;
use crate::domain::name::RepositoryName;
use crate::domain::path::{Directory, FilePath};

/// Files that were deleted below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedFiles {
    pub deleted: u64,
    /// Where the next batch begins, if there may be one.
    pub next: Option<String>,
}

#[derive(Debug, FromRow)]
struct FileRow {
    path: String,
    digest: Digest,
    size: i64,
    media_type: MediaType,
    updated_by: Option<String>,
    updated_at: DateTime<Utc>,
}

#[derive(Debug, FromRow)]
struct EntryRow {
    #[sqlx(flatten)]
    file: FileRow,
    slash: i64,
}

impl TryFrom<FileRow> for StoredFile {
    type Error = DbError;

    fn try_from(row: FileRow) -> Result<Self> {
        Ok(Self {
            path: row.path.parse().map_err(|error| corrupt("file", "path", &row.path, &error))?,
            digest: row.digest,
            size: row.size.unsigned_abs(),
            media_type: row.media_type,
            updated_by: row.updated_by,
            updated_at: row.updated_at,
        })
    }
}

impl Db {
    pub async fn find_file(
        &self,
        repository: &RepositoryName,
        path: &FilePath,
    ) -> Result<Option<StoredFile>> {
        let row: Option<FileRow> = on_pool!(self, pool => sqlx::query_as(FIND)
            .bind(repository.as_str())
            .bind(path.as_str())
            .fetch_optional(pool)
            .await)?;
        row.map(StoredFile::try_from).transpose()
    }

    /// Files below a directory however deep, in the order of their paths' bytes; `from` the beginning, or where an
    /// earlier page says that the next one begins.
    pub async fn files_below(
        &self,
        repository: &RepositoryName,
        directory: &Directory,
        from: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StoredFile>> {
        let prefix = directory.prefix();
        let rows: Vec<FileRow> = on_pool!(self, pool => sqlx::query_as(BELOW)
            .bind(repository.as_str())
            .bind(from.unwrap_or(&prefix))
            .bind(directory.end())
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        rows.into_iter().map(StoredFile::try_from).collect()
    }

    /// What lies in a directory at once, in the order of [`Self::files_below`].
    pub async fn directory_entries(
        &self,
        repository: &RepositoryName,
        directory: &Directory,
        from: Option<&str>,
        limit: u32,
    ) -> Result<Vec<DirectoryEntry>> {
        let (sql, prefix) = (self.text(ENTRIES), directory.prefix());
        let name_at = i32::try_from(prefix.chars().count() + 1).unwrap_or(i32::MAX);
        let rows: Vec<EntryRow> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(repository.as_str())
            .bind(from.unwrap_or(&prefix))
            .bind(directory.end())
            .bind(name_at)
            .bind(i32::try_from(limit).unwrap_or(i32::MAX))
            .bind(LEAST)
            .fetch_all(pool)
            .await)?;
        let entry = |EntryRow { file, slash }: EntryRow| {
            if slash == 0 {
                return Ok(DirectoryEntry::File(file.try_into()?));
            }
            let below = file.path.get(prefix.len()..).unwrap_or_default();
            let name = below.split('/').next().unwrap_or_default();
            let path = format!("{prefix}{name}").parse();
            Ok(DirectoryEntry::Directory(path.map_err(|error| corrupt("file", "path", &file.path, &error))?))
        };
        rows.into_iter().map(entry).collect()
    }

    /// Has a path name a blob that the repository has, whatever it named before. False where the repository does not have
    /// it: nothing was written.
    pub async fn put_file(
        &self,
        repository: &RepositoryName,
        file: &NewFile,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        // Again only after somebody else has changed what the path names in between.
        loop {
            if let Some(is_put) = self.try_put_file(repository, file, now).await? {
                return Ok(is_put);
            }
        }
    }

    /// None when the path names another blob than the one whose link is locked.
    async fn try_put_file(
        &self,
        repository: &RepositoryName,
        file: &NewFile,
        now: DateTime<Utc>,
    ) -> Result<Option<bool>> {
        let (lock_links, lock) = (self.text(LOCK_REFERENCES), self.text(LOCK));
        let (keep, mark) = (self.text(KEEP), self.text(MARK_UNNEEDED));
        let (repository, file) = (repository.to_string(), file.clone());
        in_transaction!(self, transaction => {
            let path = file.path.as_str();
            let before = sqlx::query_scalar(BLOB_OF).bind(&repository).bind(path);
            let before: Option<i64> = before.fetch_optional(&mut *transaction).await?;
            let blob = sqlx::query_scalar(READABLE).bind(file.digest);
            let blob: Option<i64> = blob.fetch_optional(&mut *transaction).await?;
            let links = json!([before, blob].into_iter().flatten().collect::<BTreeSet<i64>>());
            let locked = sqlx::query_scalar(lock_links).bind(&repository).bind(&links);
            let locked: Vec<i64> = locked.fetch_all(&mut *transaction).await?;
            let Some(blob) = blob.filter(|blob| locked.contains(blob)) else { return Ok(Some(false)) };
            let held = sqlx::query_scalar(lock).bind(&repository).bind(path);
            let held: Option<i64> = held.fetch_optional(&mut *transaction).await?;
            if held != before {
                return Ok(None);
            }
            let written = sqlx::query(if held.is_some() { UPDATE } else { INSERT })
                .bind(&repository)
                .bind(path)
                .bind(blob)
                .bind(&file.media_type)
                .bind(&file.updated_by)
                .bind(now)
                .execute(&mut *transaction)
                .await?;
            if written.rows_affected() == 0 {
                return Ok(None);
            }
            sqlx::query(keep).bind(&repository).bind(json!([blob])).execute(&mut *transaction).await?;
            if let Some(before) = before.filter(|before| *before != blob) {
                let mark = sqlx::query(mark).bind(&repository).bind(json!([before])).bind(now);
                mark.execute(&mut *transaction).await?;
            }
            Some(true)
        })
    }

    /// Deletes a file, and marks its blob where nothing else needs it; false where there is none.
    pub async fn delete_file(
        &self,
        repository: &RepositoryName,
        path: &FilePath,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        loop {
            if let Some(is_deleted) = self.try_delete_file(repository, path, now).await? {
                return Ok(is_deleted);
            }
        }
    }

    async fn try_delete_file(
        &self,
        repository: &RepositoryName,
        path: &FilePath,
        now: DateTime<Utc>,
    ) -> Result<Option<bool>> {
        let (lock_links, lock, mark) =
            (self.text(LOCK_REFERENCES), self.text(LOCK), self.text(MARK_UNNEEDED));
        let (repository, path) = (repository.to_string(), path.to_string());
        in_transaction!(self, transaction => {
            let blob = sqlx::query_scalar(BLOB_OF).bind(&repository).bind(&path);
            let blob: Option<i64> = blob.fetch_optional(&mut *transaction).await?;
            let Some(blob) = blob else { return Ok(Some(false)) };
            let links = json!([blob]);
            sqlx::query(lock_links).bind(&repository).bind(&links).execute(&mut *transaction).await?;
            let held = sqlx::query_scalar(lock).bind(&repository).bind(&path);
            let held: Option<i64> = held.fetch_optional(&mut *transaction).await?;
            if held != Some(blob) {
                return Ok(None);
            }
            sqlx::query(DELETE).bind(&repository).bind(&path).execute(&mut *transaction).await?;
            sqlx::query(mark).bind(&repository).bind(&links).bind(now).execute(&mut *transaction).await?;
            Some(true)
        })
    }

    /// Deletes some files below a directory. One that names another blob since they were looked at was put there after the
    /// deletion had begun, and stays.
    pub async fn delete_files_below(
        &self,
        repository: &RepositoryName,
        directory: &Directory,
        from: Option<&str>,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<DeletedFiles> {
        let (lock_links, lock, delete, mark) = (
            self.text(LOCK_REFERENCES),
            self.text(LOCK_ALL),
            self.text(DELETE_ALL),
            self.text(MARK_UNNEEDED),
        );
        let repository = repository.to_string();
        let (from, end) = (from.map_or_else(|| directory.prefix(), str::to_owned), directory.end());
        in_transaction!(self, transaction => {
            let found = sqlx::query_as(BATCH).bind(&repository).bind(&from).bind(&end).bind(i64::from(limit));
            let found: Vec<(String, i64)> = found.fetch_all(&mut *transaction).await?;
            let is_full = found.len() >= limit as usize;
            let next = found.last().filter(|_| is_full).map(|(path, _)| after(path));
            let links = json!(found.iter().map(|(_, blob)| *blob).collect::<BTreeSet<i64>>());
            sqlx::query(lock_links).bind(&repository).bind(&links).execute(&mut *transaction).await?;
            let paths = json!(found.iter().map(|(path, _)| path).collect::<Vec<_>>());
            let held = sqlx::query_as(lock).bind(&repository).bind(&paths);
            let held: Vec<(String, i64)> = held.fetch_all(&mut *transaction).await?;
            let found: BTreeSet<_> = found.into_iter().collect();
            let paths = json!(held.iter().filter(|file| found.contains(file)).map(|(path, _)| path).collect::<Vec<_>>());
            let deleted = sqlx::query(delete).bind(&repository).bind(&paths).execute(&mut *transaction).await?;
            sqlx::query(mark).bind(&repository).bind(&links).bind(now).execute(&mut *transaction).await?;
            DeletedFiles { deleted: deleted.rows_affected(), next }
        })
    }
}
