//! What the databases make of the hot statements with many sessions in the table: an index, each time.

use std::env;
use std::fmt::Write;
use std::sync::Arc;

use overside::db::Db;
use sqlx::{AssertSqlSafe, Row};

/// Sessions in PostgreSQL where nobody says how many. A million take minutes, and have the same plans.
const SESSIONS: &str = "200000";
/// How many.
const HOW_MANY: &str = "OVERSIDE_TEST_SESSIONS";

/// Of a hundred sessions ten are pending, thirty wait for their PUT, one is being finalized, the others have ended
/// and all but ten of those are dealt with. Of the living one in fifty is due. UUIDs rise, as version 7 does.
const POSTGRES_SESSIONS: &str = "
    INSERT INTO blob_upload_session
        (upload_uuid, repository_name, status, transfer_mode, temp_path, claimed_digest, final_digest,
         lease_owner, lease_expires_at, failure_reason, metadata, created_at, updated_at, expires_at, due_at, ended_at,
         discarded_at)
    SELECT (lpad(to_hex(i), 12, '0') || '70008000' || lpad(to_hex(i), 12, '0'))::UUID, 'team/' || i % 1000, status,
        CASE WHEN status IN ('uploading', 'finalizing') THEN 'put' END, 'temp/' || i || '/',
        CASE WHEN status = 'finalizing' THEN decode(lpad(to_hex(i), 64, '0'), 'hex') END,
        CASE WHEN status = 'completed' THEN decode(lpad(to_hex(i), 64, '0'), 'hex') END,
        CASE WHEN status = 'finalizing' THEN gen_random_uuid() END,
        CASE WHEN status = 'finalizing' THEN now() + interval '1 minute' END,
        CASE WHEN status = 'failed' THEN 'vanished: x' END,
        '{\"user_agent\":\"x\"}', began, began, began + interval '50 hours', began + interval '50 hours',
        CASE WHEN i % 100 > 40 THEN began + interval '30 minutes' END,
        CASE WHEN i % 100 BETWEEN 51 AND 99 THEN began + interval '1 hour' END
    FROM (
        SELECT i, now() - interval '51 hours' + i * interval '51 hours' / ROWS AS began,
            CASE WHEN i % 100 < 10 THEN 'pending' WHEN i % 100 < 40 THEN 'uploading' WHEN i % 100 = 40 THEN 'finalizing'
                WHEN i % 100 < 90 THEN 'completed' WHEN i % 100 < 95 THEN 'expired' WHEN i % 100 < 98 THEN 'aborted'
                ELSE 'failed' END AS status
        FROM generate_series(1, ROWS) AS i) AS mixed";

/// Fewer: SQLite has one writer and the plans do not depend on it.
const SQLITE_SESSIONS: &str = "
    WITH RECURSIVE counted (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < 100000),
    mixed AS (
        SELECT i, strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', (i * 51.0 / 100000 - 51) || ' hours') AS began,
            strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', (i * 51.0 / 100000 - 1) || ' hours') AS ends,
            CASE WHEN i % 100 < 10 THEN 'pending' WHEN i % 100 < 40 THEN 'uploading' WHEN i % 100 = 40 THEN 'finalizing'
                WHEN i % 100 < 90 THEN 'completed' WHEN i % 100 < 95 THEN 'expired' WHEN i % 100 < 98 THEN 'aborted'
                ELSE 'failed' END AS status
        FROM counted)
    INSERT INTO blob_upload_session
        (upload_uuid, repository_name, status, transfer_mode, temp_path, claimed_digest, final_digest,
         lease_owner, lease_expires_at, failure_reason, metadata, created_at, updated_at, expires_at, due_at, ended_at,
         discarded_at)
    SELECT unhex(printf('%012x70008000%012x', i, i)), 'team/' || i % 1000, status,
        CASE WHEN status IN ('uploading', 'finalizing') THEN 'put' END, 'temp/' || i || '/',
        CASE WHEN status = 'finalizing' THEN unhex(printf('%064x', i)) END,
        CASE WHEN status = 'completed' THEN unhex(printf('%064x', i)) END,
        CASE WHEN status = 'finalizing' THEN randomblob(16) END,
        CASE WHEN status = 'finalizing' THEN ends END,
        CASE WHEN status = 'failed' THEN 'vanished: x' END,
        '{\"user_agent\":\"x\"}', began, began, ends, ends, CASE WHEN i % 100 > 40 THEN began END,
        CASE WHEN i % 100 BETWEEN 51 AND 99 THEN ends END
    FROM mixed";

/// One text for both: what was completed, its links, and some parts. Each blob is the only one of a manifest, which is
/// tagged and listed, and refers to another one of its repository; one repository has 10,000 tags.
const REST: [&str; 17] = [
    "INSERT INTO repository (name) SELECT repository_name FROM blob_upload_session GROUP BY repository_name
        UNION ALL SELECT 'team/tags'",
    "INSERT INTO blob (digest, size, proof, created_at, placed_at)
        SELECT final_digest, 1, 'read-back', created_at, created_at FROM blob_upload_session WHERE status = 'completed'",
    "INSERT INTO repository_blob (repository_id, blob_id, created_at)
        SELECT repository.id, blob.id, blob.created_at
        FROM blob_upload_session JOIN repository ON name = repository_name JOIN blob ON digest = final_digest",
    "INSERT INTO file (repository_id, path, blob_id, media_type, updated_at)
        SELECT repository_id, 'd' || (blob_id % 100) || '/f' || blob_id, blob_id, 'a/b', created_at FROM repository_blob",
    "INSERT INTO blob_upload_part (upload_uuid, part_number, size, etag)
        SELECT upload_uuid, 1, 1, 'etag' FROM blob_upload_session WHERE status = 'pending'",
    "INSERT INTO manifest (repository_id, digest, media_type, artifact_type, subject_digest, payload, created_at)
        SELECT repository_id, digest, 'a/b', 'a/b', (SELECT digest FROM blob ORDER BY digest LIMIT 1), 'x', blob.created_at
        FROM repository_blob JOIN blob ON blob.id = blob_id",
    "INSERT INTO manifest_blob (manifest_id, repository_id, blob_id)
        SELECT manifest.id, repository_id, blob.id FROM manifest JOIN blob ON blob.digest = manifest.digest",
    "INSERT INTO manifest_child (manifest_id, child_id) SELECT id, id FROM manifest",
    "INSERT INTO tag (repository_id, name, manifest_id, updated_at)
        SELECT repository_id, 'v' || id, id, created_at FROM manifest",
    "INSERT INTO manifest (repository_id, digest, media_type, payload, created_at)
        SELECT repository.id, page.digest, 'a/b', 'x', page.created_at FROM repository
        CROSS JOIN (SELECT digest, created_at FROM blob ORDER BY digest LIMIT 10000) AS page
        WHERE repository.name = 'team/tags'",
    "INSERT INTO hub_repository (repository_id, kind, full_name, created_at)
        SELECT id, 'models', 'team/m', (SELECT MIN(created_at) FROM blob) FROM repository",
    "INSERT INTO hub_tree_entry (repository_id, tree_oid, name, oid, kind, blob_id)
        SELECT repository_id, substr(digest, 13, 20), 'f', substr(digest, 13, 20), 'regular', blob_id
        FROM repository_blob JOIN blob ON blob.id = blob_id WHERE blob_id % 10 = 0",
    "INSERT INTO hub_commit (repository_id, oid, tree_oid, author, message, committed_at)
        SELECT repository_id, oid, tree_oid, 'x', 'x', hub_repository.created_at
        FROM hub_tree_entry JOIN hub_repository USING (repository_id)",
    "INSERT INTO hub_ref (repository_id, name, commit_oid)
        SELECT repository_id, 'refs/heads/' || blob_id, oid FROM hub_tree_entry",
    "INSERT INTO audit_entry (happened_at, username, operation, resource_type, resource, project_name, project_id)
        SELECT created_at, 'alice', 'push', 'blob', temp_path, repository_name, id % 10000
        FROM blob_upload_session WHERE status = 'completed'",
    "INSERT INTO file_lock (id, repository_id, path, owner_name, locked_at)
        SELECT upload_uuid, repository.id, temp_path, 'u' || blob_upload_session.id, created_at
        FROM blob_upload_session JOIN repository ON name = repository_name WHERE status = 'failed'",
    "INSERT INTO tag (repository_id, name, manifest_id, updated_at)
        SELECT repository_id, 't' || manifest.id, manifest.id, created_at
        FROM manifest JOIN repository ON repository.id = repository_id WHERE name = 'team/tags'",
];

/// What triggers would have counted, a row at a time: PostgreSQL does without them while the tables are filled. And
/// projects, of which one in a hundred is public, with 100,000 repositories.
const COUNTED: [&str; 6] = [
    "INSERT INTO project_blob (project_name, blob_id, size, links) SELECT 'p' || id % 100, id, 1, 1 FROM blob",
    "INSERT INTO project_usage (project_name, bytes) SELECT 'p' || i % 10000, i FROM generate_series(1, 200000) AS i",
    "INSERT INTO project (name, is_public, storage_limit, owner_name, created_at, updated_at)
        SELECT 'p' || i, i % 100 = 0, i % 2 - 1, 'x', now(), now() FROM generate_series(1, 10000) AS i",
    "INSERT INTO webhook_policy (project_id, name, description, is_enabled, event_types, address, skip_cert_verify,
            payload_format, creator, created_at, updated_at)
        SELECT id, 'ci', '', TRUE, 'PUSH_ARTIFACT', 'x', FALSE, 'Default', 'x', now(), now() FROM project",
    "INSERT INTO project_member (project_id, user_id, role, created_at)
        SELECT id, id % 1000, 'guest', now() FROM project",
    "INSERT INTO repository (name) SELECT 'p' || i % 10000 || '/r' || i FROM generate_series(1, 100000) AS i",
];

/// Rows come without triggers and without a look at what they refer to, and into tables with no index but those of their
/// keys: the others are made of what lies there. A million rows one index entry at a time take several times as long.
const BEFORE: &str =
    "SET session_replication_role = replica; SET maintenance_work_mem = '256MB'; SET work_mem = '64MB';
    SELECT make_audit_month(now() - interval '3 days')";

/// With how each is made again. Those of the audit log's months come and go with its own, which are made for all of them.
const INDEXES: &str = "
    SELECT indexrelid::REGCLASS::TEXT, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = 'public'::REGNAMESPACE AND NOT indisunique AND NOT relispartition";

/// Every parameter of a prepared statement that the planner is told: those of the cleaner's batches, and keys.
const TOLD: [(&str, &str); 21] = [
    ("find", "gen_random_uuid()"),
    ("find_link", "'team/7', '\\x07'"),
    ("find_file", "'team/7', 'd7/f7'"),
    ("files_below", "'team/7', 'd7/', 'd70', 101"),
    ("directory_entries", "'team/7', 'd7/', 'd70', 4, 101, chr(1)"),
    ("tags", "'team/tags', 'sha256:5', 101"),
    ("blobs_of_repository", "'team/7', 7, 101"),
    ("repositories", "'team/5', 101, TRUE"),
    ("visible_repositories", "'p5', 101, 7, '[]'"),
    ("put_off", "now(), 1000"),
    ("expire", "now(), 1000"),
    ("abandoned", "now(), 100"),
    ("undiscarded", "now(), 100, 0"),
    ("forget", "now() - interval '7 days', 1000"),
    ("is_placing", "'\\x40', now()"),
    ("lock_project", "'p7'"),
    ("sum_usage", "'p7'"),
    ("fold_usage", "'p7', 1000"),
    ("audit_entries_of_project", "7, 9000000, 10, 0"),
    ("audit_entries_of_name", "'team/7', 9000000, 10, 0"),
    ("mark_discarded", "ARRAY[gen_random_uuid(), gen_random_uuid()], now()"),
];

/// Listings that an index has in their order.
const PAGES: [&str; 4] = ["tags", "blobs_of_repository", "repositories", "placed_blobs"];

pub async fn indexed(db: Arc<Db>) {
    let mut all = String::new();
    match &*db {
        Db::Postgres(pool) => {
            let mut connection = pool.acquire().await.expect("a connection");
            let indexes: Vec<(String, String)> =
                sqlx::query_as(INDEXES).fetch_all(&mut *connection).await.expect("indexes");
            let (names, definitions): (Vec<_>, Vec<_>) = indexes.into_iter().unzip();
            let rows = env::var(HOW_MANY).unwrap_or_else(|_| SESSIONS.to_owned());
            let sessions = POSTGRES_SESSIONS.replace("ROWS", &rows);
            let fill = [BEFORE.to_owned(), format!("DROP INDEX {}", names.join(", ")), sessions];
            let rest = REST.iter().chain(&COUNTED).map(|sql| (*sql).to_owned());
            let fill = fill.into_iter().chain(rest);
            let fill = fill.chain(definitions).chain(["RESET ALL".to_owned(), "ANALYZE".to_owned()]);
            for sql in fill {
                sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut *connection).await.expect(&sql);
            }
            for (name, statement) in db.hot_statements() {
                let prepare = AssertSqlSafe(format!("PREPARE {name}_statement AS {statement}"));
                sqlx::raw_sql(prepare).execute(&mut *connection).await.expect(name);
                // After a few executions PostgreSQL may stop looking at the parameters: both ways must do.
                let parameters =
                    (1..100).take_while(|number| statement.contains(&format!("${number}"))).count();
                let unknown = vec!["NULL"; parameters].join(", ");
                let told = TOLD.iter().find(|(told, _)| *told == name).map(|(_, values)| *values);
                let ways = [("generic", Some(unknown.as_str())), ("custom", told)];
                for (way, values) in ways.into_iter().filter_map(|(way, values)| Some((way, values?))) {
                    let explain = format!(
                        "SET plan_cache_mode = force_{way}_plan;
                         EXPLAIN (COSTS OFF) EXECUTE {name}_statement ({values})"
                    );
                    let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *connection).await;
                    let lines = rows.expect(name).iter().map(|row| row.get(0)).collect::<Vec<String>>();
                    check(&mut all, &format!("{name}, {way} plan"), &lines, "Seq Scan");
                    // What is in order by itself is read as far as a page goes.
                    let is_sorted =
                        |line: &String| line.trim_start().trim_start_matches("->").trim() == "Sort";
                    if PAGES.contains(&name) {
                        assert!(
                            !lines.iter().any(is_sorted),
                            "{name} sorts more than a page:\n{}",
                            lines.join("\n")
                        );
                    }
                    if name == "visible_repositories" {
                        assert!(
                            lines.iter().any(|line| line.contains("Incremental Sort")),
                            "{}",
                            lines.join("\n")
                        );
                    }
                }
            }
        }
        Db::Sqlite(pool) => {
            for sql in [SQLITE_SESSIONS].into_iter().chain(REST).chain(["ANALYZE"]) {
                sqlx::raw_sql(sql).execute(pool).await.expect(sql);
            }
            for (name, statement) in db.hot_statements() {
                let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
                let rows = sqlx::query(explain).fetch_all(pool).await.expect(name);
                let lines = rows.iter().map(|row| row.get("detail")).collect::<Vec<String>>();
                check(&mut all, name, &lines, "SCAN blob");
                if PAGES.contains(&name) || name == "visible_repositories" {
                    check(&mut all, name, &lines, "USE TEMP B-TREE FOR ORDER BY");
                }
                for table in ["repository_blob", "manifest", "file", "tag", "project", "audit_entry"] {
                    check(&mut all, name, &lines, &format!("SCAN {table}"));
                }
            }
        }
    }
    // For whoever wants to read or cite them.
    let file = if matches!(*db, Db::Postgres(_)) { "plans-postgres.txt" } else { "plans-sqlite.txt" };
    std::fs::write(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(file), all).expect("a file");
}

fn check(all: &mut String, name: &str, plan: &[String], scan: &str) {
    let _ = writeln!(all, "{name}\n    {}", plan.join("\n    "));
    assert!(
        !plan.iter().any(|line| line.contains(scan) && !line.contains("INDEX project_public")),
        "{name} reads the whole table:\n{}",
        plan.join("\n")
    );
}
