-- What each project has, counted where it changes: triggers keep the count in the transaction of whatever statement
-- links, unlinks, deletes or ends something, so that each is counted exactly once. SQLite.
--
-- A project is the first segment of a repository's name; it is counted whether or not `project` has a row of it.

-- In how many of a project's repositories a blob is: it counts once. The size is the one that was counted.
CREATE TABLE project_blob (
    project_name TEXT NOT NULL,
    blob_id      BIGINT NOT NULL,
    size         BIGINT NOT NULL,
    links        BIGINT NOT NULL CHECK (links >= 0),
    PRIMARY KEY (project_name, blob_id)
) WITHOUT ROWID;

-- A ledger whose sum is the usage: rows are only added, so that nobody waits for anybody to count, and now and then
-- some of them become their sum: see src/db/upkeep/quotas.rs.
CREATE TABLE project_usage (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    project_name TEXT NOT NULL,
    -- Of blobs and of manifests.
    bytes        BIGINT NOT NULL DEFAULT 0,
    -- Held for sessions that are open.
    reserved     BIGINT NOT NULL DEFAULT 0,
    tags         BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX project_usage_project ON project_usage (project_name, id);

CREATE TRIGGER repository_blob_linked AFTER INSERT ON repository_blob BEGIN
    INSERT INTO project_usage (project_name, bytes)
    SELECT repository.project_name, blob.size FROM repository CROSS JOIN blob
    WHERE repository.id = NEW.repository_id AND blob.id = NEW.blob_id AND NOT EXISTS (SELECT 1 FROM project_blob
        WHERE project_blob.project_name = repository.project_name AND project_blob.blob_id = blob.id);
    INSERT INTO project_blob (project_name, blob_id, size, links)
    SELECT repository.project_name, blob.id, blob.size, 1 FROM repository CROSS JOIN blob
    WHERE repository.id = NEW.repository_id AND blob.id = NEW.blob_id
    ON CONFLICT (project_name, blob_id) DO UPDATE SET links = links + 1;
END;

CREATE TRIGGER repository_blob_unlinked AFTER DELETE ON repository_blob BEGIN
    UPDATE project_blob SET links = links - 1
    WHERE project_name = (SELECT project_name FROM repository WHERE id = OLD.repository_id)
        AND blob_id = OLD.blob_id;
    INSERT INTO project_usage (project_name, bytes)
    SELECT project_name, -size FROM project_blob
    WHERE project_name = (SELECT project_name FROM repository WHERE id = OLD.repository_id)
        AND blob_id = OLD.blob_id AND links = 0;
    DELETE FROM project_blob
    WHERE project_name = (SELECT project_name FROM repository WHERE id = OLD.repository_id)
        AND blob_id = OLD.blob_id AND links = 0;
END;

CREATE TRIGGER manifest_stored AFTER INSERT ON manifest BEGIN
    INSERT INTO project_usage (project_name, bytes)
    SELECT project_name, length(NEW.payload) FROM repository WHERE id = NEW.repository_id;
END;
CREATE TRIGGER manifest_deleted AFTER DELETE ON manifest BEGIN
    INSERT INTO project_usage (project_name, bytes)
    SELECT project_name, -length(OLD.payload) FROM repository WHERE id = OLD.repository_id;
END;

CREATE TRIGGER tag_stored AFTER INSERT ON tag BEGIN
    INSERT INTO project_usage (project_name, tags)
    SELECT project_name, 1 FROM repository WHERE id = NEW.repository_id;
END;
CREATE TRIGGER tag_deleted AFTER DELETE ON tag BEGIN
    INSERT INTO project_usage (project_name, tags)
    SELECT project_name, -1 FROM repository WHERE id = OLD.repository_id;
END;

-- Sessions that hold nothing do not come here.
CREATE TRIGGER blob_upload_session_begun AFTER INSERT ON blob_upload_session
WHEN NEW.reserved > 0 AND NEW.ended_at IS NULL BEGIN
    INSERT INTO project_usage (project_name, reserved)
    VALUES (substr(NEW.repository_name, 1, instr(NEW.repository_name || '/', '/') - 1), NEW.reserved);
END;
CREATE TRIGGER blob_upload_session_moved AFTER UPDATE OF ended_at, reserved ON blob_upload_session
WHEN CASE WHEN NEW.ended_at IS NULL THEN NEW.reserved ELSE 0 END
    <> CASE WHEN OLD.ended_at IS NULL THEN OLD.reserved ELSE 0 END
BEGIN
    INSERT INTO project_usage (project_name, reserved)
    VALUES (substr(OLD.repository_name, 1, instr(OLD.repository_name || '/', '/') - 1),
        CASE WHEN NEW.ended_at IS NULL THEN NEW.reserved ELSE 0 END
            - CASE WHEN OLD.ended_at IS NULL THEN OLD.reserved ELSE 0 END);
END;
CREATE TRIGGER blob_upload_session_deleted AFTER DELETE ON blob_upload_session
WHEN OLD.reserved > 0 AND OLD.ended_at IS NULL BEGIN
    INSERT INTO project_usage (project_name, reserved)
    VALUES (substr(OLD.repository_name, 1, instr(OLD.repository_name || '/', '/') - 1), -OLD.reserved);
END;
