//! Manifests and what they refer to.
//!
//! A push checks, stores, links and tags in one transaction. It locks the links that it needs, in the order that
//! all take; whoever takes links away or marks them does the same, and looks at what needs them afterwards. So a
//! blob is marked exactly while no manifest of its repository refers to it. Links are locked before manifests, and
//! those before tags, each in order, so that nobody waits in a circle. A project that has limits comes before all.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::db::registry::links::{MARK_UNNEEDED, is_readable};
use crate::db::rows::signed;
use crate::db::text::Text;
use crate::db::upkeep::quotas::{self, Room, hold_project};
use crate::db::{Db, DbError, Result, in_transaction, on_pool};
use crate::domain::digest::Digest;
use crate::domain::manifest::Manifest;
use crate::domain::media_type::MediaType;
use crate::domain::name::RepositoryName;
use crate::domain::quota::QuotaKind;
use crate::domain::reference::{Reference, Tag};

pub(in crate::db) const LOCK_LINKS: Text = Text {
    postgres: concat!(
        "SELECT repository_blob.digest, unreferenced_at IS NOT NULL
        FROM repository_blob JOIN blob ON blob.digest = repository_blob.digest
        WHERE repository_name = $1 AND repository_blob.digest IN (SELECT jsonb_array_elements_text($2)) AND ",
        is_readable!(),
        " ORDER BY repository_blob.digest FOR NO KEY UPDATE OF repository_blob"
    ),
    sqlite: concat!(
        "SELECT repository_blob.digest, unreferenced_at IS NOT NULL
        FROM repository_blob JOIN blob ON blob.digest = repository_blob.digest
        WHERE repository_name = $1 AND repository_blob.digest IN (SELECT value FROM json_each($2)) AND ",
        is_readable!()
    ),
};

/// None of them is deleted until the index that lists it is written.
pub(in crate::db) const CHILDREN: Text = Text {
    postgres: "SELECT digest FROM manifest
        WHERE repository_name = $1 AND digest IN (SELECT jsonb_array_elements_text($2))
        ORDER BY digest FOR KEY SHARE",
    sqlite: "SELECT digest FROM manifest
        WHERE repository_name = $1 AND digest IN (SELECT value FROM json_each($2))",
};

/// The same bytes may come again as another type, where they say nothing of it themselves.
pub(in crate::db) const INSERT: &str = "
    INSERT INTO manifest (repository_name, digest, media_type, artifact_type, annotations, subject_digest, payload,
        created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (repository_name, digest) DO UPDATE SET media_type = excluded.media_type
        WHERE manifest.media_type <> excluded.media_type";

pub(in crate::db) const INSERT_BLOBS: Text = Text {
    postgres: "INSERT INTO manifest_blob (repository_name, manifest_digest, digest)
        SELECT $1, $2, jsonb_array_elements_text($3) ON CONFLICT DO NOTHING",
    sqlite: "INSERT INTO manifest_blob (repository_name, manifest_digest, digest)
        SELECT $1, $2, value FROM json_each($3) WHERE true ON CONFLICT DO NOTHING",
};

pub(in crate::db) const INSERT_CHILDREN: Text = Text {
    postgres: "INSERT INTO manifest_child (repository_name, manifest_digest, digest)
        SELECT $1, $2, jsonb_array_elements_text($3) ON CONFLICT DO NOTHING",
    sqlite: "INSERT INTO manifest_child (repository_name, manifest_digest, digest)
        SELECT $1, $2, value FROM json_each($3) WHERE true ON CONFLICT DO NOTHING",
};

pub(in crate::db) const KEEP: Text = Text {
    postgres: "UPDATE repository_blob SET unreferenced_at = NULL WHERE repository_name = $1
        AND digest IN (SELECT jsonb_array_elements_text($2)) AND unreferenced_at IS NOT NULL",
    sqlite: "UPDATE repository_blob SET unreferenced_at = NULL WHERE repository_name = $1
        AND digest IN (SELECT value FROM json_each($2)) AND unreferenced_at IS NOT NULL",
};

/// What a push would add to: whether the manifest is there, and how many of the tags are.
pub(in crate::db) const THERE: Text = Text {
    postgres: "SELECT EXISTS (SELECT 1 FROM manifest WHERE repository_name = $1 AND digest = $2),
        (SELECT COUNT(*) FROM tag
            WHERE repository_name = $1 AND name IN (SELECT jsonb_array_elements_text($3)))",
    sqlite: "SELECT EXISTS (SELECT 1 FROM manifest WHERE repository_name = $1 AND digest = $2),
        (SELECT COUNT(*) FROM tag WHERE repository_name = $1 AND name IN (SELECT value FROM json_each($3)))",
};

/// In order, so that two pushes of the same tags do not wait for each other.
pub(in crate::db) const UPSERT_TAGS: Text = Text {
    postgres: "INSERT INTO tag (repository_name, name, digest, updated_at)
        SELECT $1, value, $2, $3 FROM jsonb_array_elements_text($4) AS value ORDER BY value COLLATE \"C\"
        ON CONFLICT (repository_name, name) DO UPDATE SET digest = excluded.digest, updated_at = excluded.updated_at",
    sqlite: "INSERT INTO tag (repository_name, name, digest, updated_at)
        SELECT $1, value, $2, $3 FROM json_each($4) WHERE true
        ON CONFLICT (repository_name, name) DO UPDATE SET digest = excluded.digest, updated_at = excluded.updated_at",
};

pub(in crate::db) const FIND_BY_DIGEST: &str =
    "SELECT digest, media_type, payload FROM manifest WHERE repository_name = $1 AND digest = $2";

pub(in crate::db) const FIND_BY_TAG: &str = "
    SELECT manifest.digest, manifest.media_type, manifest.payload
    FROM tag JOIN manifest ON manifest.repository_name = tag.repository_name AND manifest.digest = tag.digest
    WHERE tag.repository_name = $1 AND tag.name = $2";

/// The length alone leaves the bytes where they are.
pub(in crate::db) const DESCRIBE_BY_DIGEST: &str = "
    SELECT digest, media_type, CAST(LENGTH(payload) AS BIGINT) AS size
    FROM manifest WHERE repository_name = $1 AND digest = $2";

pub(in crate::db) const DESCRIBE_BY_TAG: &str = "
    SELECT manifest.digest, manifest.media_type, CAST(LENGTH(manifest.payload) AS BIGINT) AS size
    FROM tag JOIN manifest ON manifest.repository_name = tag.repository_name AND manifest.digest = tag.digest
    WHERE tag.repository_name = $1 AND tag.name = $2";

pub(in crate::db) const REFERENCES: &str =
    "SELECT digest FROM manifest_blob WHERE repository_name = $1 AND manifest_digest = $2";

pub(in crate::db) const LOCK: Text = Text {
    postgres: "SELECT digest FROM manifest WHERE repository_name = $1 AND digest = $2 FOR UPDATE",
    sqlite: "SELECT digest FROM manifest WHERE repository_name = $1 AND digest = $2",
};

/// An index that lists it.
pub(in crate::db) const LISTED_BY: &str =
    "SELECT manifest_digest FROM manifest_child WHERE repository_name = $1 AND digest = $2 LIMIT 1";

/// Deleting the manifest would take its tags in the order that they lie in.
pub(in crate::db) const LOCK_TAGS: Text = Text {
    postgres: "SELECT name FROM tag WHERE repository_name = $1 AND digest = $2 ORDER BY name FOR UPDATE",
    sqlite: "SELECT name FROM tag WHERE repository_name = $1 AND digest = $2",
};

pub(in crate::db) const DELETE: &str = "DELETE FROM manifest WHERE repository_name = $1 AND digest = $2";

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    Done,
    /// Blobs and manifests that it refers to and that the repository does not have. Nothing was written.
    Missing(Vec<Digest>),
}

/// What became of a manifest that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    Done,
    Unknown,
    /// This index lists it; it stays.
    Listed(Digest),
}

/// A manifest, byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    pub digest: Digest,
    pub media_type: MediaType,
    pub payload: Vec<u8>,
}

/// A manifest without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestDescription {
    pub digest: Digest,
    pub media_type: MediaType,
    /// In bytes.
    pub size: u64,
}

#[derive(Debug, FromRow)]
struct ManifestRow {
    digest: String,
    media_type: String,
    payload: Vec<u8>,
}

#[derive(Debug, FromRow)]
struct DescriptionRow {
    digest: String,
    media_type: String,
    size: i64,
}

impl TryFrom<ManifestRow> for StoredManifest {
    type Error = DbError;

    fn try_from(row: ManifestRow) -> Result<Self> {
        let media_type = parse("media_type", &row.media_type, &row.digest)?;
        Ok(Self { digest: parse("digest", &row.digest, &row.digest)?, media_type, payload: row.payload })
    }
}

impl TryFrom<DescriptionRow> for ManifestDescription {
    type Error = DbError;

    fn try_from(row: DescriptionRow) -> Result<Self> {
        let media_type = parse("media_type", &row.media_type, &row.digest)?;
        let size = row.size.unsigned_abs();
        Ok(Self { digest: parse("digest", &row.digest, &row.digest)?, media_type, size })
    }
}

impl Db {
    /// Stores a manifest with these tags, if everything it needs is there. Most have no manifests below them, and no
    /// blob that was unreferenced: what there is nothing of costs no round trip. Fails with [`DbError::NoRoom`] where
    /// its bytes or its tags do not fit into the project.
    pub async fn push_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        manifest: Arc<Manifest>,
        payload: Bytes,
        tags: &BTreeSet<Tag>,
        now: DateTime<Utc>,
    ) -> Result<Pushed> {
        let (lock, children) = (self.text(LOCK_LINKS), self.text(CHILDREN));
        let (blobs, insert_children) = (self.text(INSERT_BLOBS), self.text(INSERT_CHILDREN));
        let (keep, upsert_tags) = (self.text(KEEP), self.text(UPSERT_TAGS));
        let annotations = annotations(&manifest);
        let wanted = json(manifest.blobs.iter().chain(&manifest.foreign_blobs).chain(&manifest.manifests));
        let tags: Vec<_> = tags.iter().map(ToString::to_string).collect();
        let (lock_project, take, there) =
            (self.text(quotas::LOCK), self.text(quotas::TAKE), self.text(THERE));
        let project = repository.project();
        let (repository, digest) = (repository.to_string(), digest.to_string());
        // SQLite has one writer: whoever pushes what will be refused must not keep the others from being it.
        if let Self::Sqlite(pool) = self {
            let links = sqlx::query_as::<_, (String, bool)>(lock).bind(&repository).bind(&wanted);
            let links = links.fetch_all(pool).await?.into_iter().map(|(digest, _)| digest).collect();
            let listed = sqlx::query_scalar(children).bind(&repository).bind(json(&manifest.manifests));
            let listed: Vec<String> = listed.fetch_all(pool).await?;
            let missing = missing(&manifest, &links, &listed.into_iter().collect());
            if !missing.is_empty() {
                return Ok(Pushed::Missing(missing));
            }
            if let Some(room) = self.look_at_room(&project).await? {
                let found =
                    sqlx::query_as(there).bind(&repository).bind(&digest).bind(serde_json::json!(tags));
                check(&room, found.fetch_one(pool).await?, payload.len(), tags.len())?;
            }
        }
        in_transaction!(self, transaction => {
            let room = hold_project!(transaction, lock_project, take, &project);
            let links = sqlx::query_as(lock).bind(&repository).bind(&wanted);
            let links: Vec<(String, bool)> = links.fetch_all(&mut *transaction).await?;
            let is_any_unreferenced = links.iter().any(|(_, is_unreferenced)| *is_unreferenced);
            let links: BTreeSet<String> = links.into_iter().map(|(digest, _)| digest).collect();
            let mut listed = BTreeSet::new();
            if !manifest.manifests.is_empty() {
                let found = sqlx::query_scalar(children).bind(&repository).bind(json(&manifest.manifests));
                listed = found.fetch_all(&mut *transaction).await?.into_iter().collect();
            }
            let missing = missing(&manifest, &links, &listed);
            if missing.is_empty() {
                if let Some(room) = room {
                    let found =
                        sqlx::query_as(there).bind(&repository).bind(&digest).bind(serde_json::json!(tags));
                    check(&room, found.fetch_one(&mut *transaction).await?, payload.len(), tags.len())?;
                }
                sqlx::query(INSERT)
                    .bind(&repository)
                    .bind(&digest)
                    .bind(manifest.media_type.as_str())
                    .bind(manifest.artifact_type.as_ref().map(MediaType::as_str))
                    .bind(&annotations)
                    .bind(manifest.subject.map(|subject| subject.to_string()))
                    .bind(payload.as_ref())
                    .bind(now)
                    .execute(&mut *transaction)
                    .await?;
                let links = serde_json::json!(links);
                sqlx::query(blobs).bind(&repository).bind(&digest).bind(&links).execute(&mut *transaction).await?;
                if !listed.is_empty() {
                    sqlx::query(insert_children)
                        .bind(&repository)
                        .bind(&digest)
                        .bind(serde_json::json!(listed))
                        .execute(&mut *transaction)
                        .await?;
                }
                if is_any_unreferenced {
                    sqlx::query(keep).bind(&repository).bind(&links).execute(&mut *transaction).await?;
                }
                if !tags.is_empty() {
                    sqlx::query(upsert_tags)
                        .bind(&repository)
                        .bind(&digest)
                        .bind(now)
                        .bind(serde_json::json!(tags))
                        .execute(&mut *transaction)
                        .await?;
                }
                Pushed::Done
            } else {
                Pushed::Missing(missing)
            }
        })
    }

    pub async fn find_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<StoredManifest>> {
        let sql = by(reference, FIND_BY_TAG, FIND_BY_DIGEST);
        let row: Option<ManifestRow> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(repository.as_str())
            .bind(reference.to_string())
            .fetch_optional(pool)
            .await)?;
        row.map(StoredManifest::try_from).transpose()
    }

    pub async fn describe_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<ManifestDescription>> {
        let sql = by(reference, DESCRIBE_BY_TAG, DESCRIBE_BY_DIGEST);
        let row: Option<DescriptionRow> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(repository.as_str())
            .bind(reference.to_string())
            .fetch_optional(pool)
            .await)?;
        row.map(ManifestDescription::try_from).transpose()
    }

    /// Deletes a manifest and its tags, and marks the blobs that no other one needs.
    pub async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        now: DateTime<Utc>,
    ) -> Result<Deleted> {
        // Again only after a push of the same manifest that came in between.
        loop {
            if let Some(deleted) = self.try_delete_manifest(repository, digest, now).await? {
                return Ok(deleted);
            }
        }
    }

    /// None when the manifest refers to other blobs than those whose links are locked: it has just come, or a foreign
    /// layer of it has.
    async fn try_delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        now: DateTime<Utc>,
    ) -> Result<Option<Deleted>> {
        let (lock_links, lock, lock_tags) = (self.text(LOCK_LINKS), self.text(LOCK), self.text(LOCK_TAGS));
        let mark = self.text(MARK_UNNEEDED);
        let (repository, digest) = (repository.to_string(), digest.to_string());
        in_transaction!(self, transaction => {
            let references = sqlx::query_scalar(REFERENCES).bind(&repository).bind(&digest);
            let references: BTreeSet<String> =
                references.fetch_all(&mut *transaction).await?.into_iter().collect();
            let links = serde_json::json!(references);
            sqlx::query(lock_links).bind(&repository).bind(&links).execute(&mut *transaction).await?;
            let manifest = sqlx::query(lock).bind(&repository).bind(&digest);
            if manifest.fetch_optional(&mut *transaction).await?.is_none() {
                Some(Deleted::Unknown)
            } else if let Some(index) = sqlx::query_scalar::<_, String>(LISTED_BY)
                .bind(&repository)
                .bind(&digest)
                .fetch_optional(&mut *transaction)
                .await?
            {
                Some(Deleted::Listed(parse("digest", &index, &index)?))
            } else {
                let locked = sqlx::query_scalar(REFERENCES).bind(&repository).bind(&digest);
                let locked: BTreeSet<String> =
                    locked.fetch_all(&mut *transaction).await?.into_iter().collect();
                if locked == references {
                    sqlx::query(lock_tags).bind(&repository).bind(&digest).execute(&mut *transaction).await?;
                    sqlx::query(DELETE).bind(&repository).bind(&digest).execute(&mut *transaction).await?;
                    sqlx::query(mark).bind(&repository).bind(&links).bind(now).execute(&mut *transaction).await?;
                    Some(Deleted::Done)
                } else {
                    None
                }
            }
        })
    }
}

const fn by(reference: &Reference, tag: &'static str, digest: &'static str) -> &'static str {
    match reference {
        Reference::Tag(_) => tag,
        Reference::Digest(_) => digest,
    }
}

/// Whether a project has room for a manifest of so many bytes and for so many tags, of which some are there. Should
/// those be deleted now, that makes the room they need.
fn check(room: &Room, (is_there, tags_there): (bool, i64), bytes: usize, tags: usize) -> Result<()> {
    room.check(QuotaKind::Bytes, if is_there { 0 } else { signed(bytes as u64) })?;
    room.check(QuotaKind::Tags, signed(tags as u64) - tags_there)
}

/// What a manifest needs that is neither linked nor listed in its repository.
fn missing(manifest: &Manifest, links: &BTreeSet<String>, listed: &BTreeSet<String>) -> Vec<Digest> {
    let is_missing = |found: &BTreeSet<String>, digest: &Digest| !found.contains(&digest.to_string());
    let blobs = manifest.blobs.iter().filter(|digest| is_missing(links, digest));
    let manifests = manifest.manifests.iter();
    let manifests = manifests.filter(|digest| is_missing(listed, digest) && is_missing(links, digest));
    blobs.chain(manifests).copied().collect()
}

fn json<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> serde_json::Value {
    digests.into_iter().map(ToString::to_string).collect()
}

fn annotations(manifest: &Manifest) -> Option<String> {
    let annotations = (!manifest.annotations.is_empty()).then(|| serde_json::json!(manifest.annotations));
    annotations.map(|annotations| annotations.to_string())
}

/// Reads a column of the manifest `digest`.
pub(in crate::db) fn parse<T>(column: &'static str, text: &str, digest: &str) -> Result<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| DbError::Corrupt {
        table: "manifest",
        column,
        row: digest.to_owned(),
        reason: error.to_string(),
    })
}
