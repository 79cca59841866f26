-- What each project has, counted where it changes: triggers keep the count in the transaction of whatever statement
-- links, unlinks, deletes or ends something, so that each is counted exactly once. SQLite.
--
-- A project is the first segment of a repository's name; it is counted whether or not `project` has a row of it.

-- In how many of a project's repositories a blob is: it counts once. The size is the one that was counted.
CREATE TABLE project_blob (
    project_name TEXT NOT NULL,
    digest       TEXT NOT NULL,
    size         BIGINT NOT NULL,
    links        BIGINT NOT NULL CHECK (links >= 0),
    PRIMARY KEY (project_name, digest)
);

-- A ledger whose sum is the usage: rows are only added, so that nobody waits for anybody to count, and now and then
-- some of them become their sum: see src/db/quotas.rs.
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

-- Bytes held for the session while it is open, whatever it comes to. Not part of what compare-and-swap writes.
ALTER TABLE blob_upload_session ADD COLUMN reserved BIGINT NOT NULL DEFAULT 0 CHECK (reserved >= 0);

CREATE TRIGGER repository_blob_linked AFTER INSERT ON repository_blob BEGIN
    INSERT INTO project_usage (project_name, bytes)
    SELECT substr(NEW.repository_name, 1, instr(NEW.repository_name || '/', '/') - 1), size
    FROM blob WHERE digest = NEW.digest AND NOT EXISTS (SELECT 1 FROM project_blob
        WHERE project_name = substr(NEW.repository_name, 1, instr(NEW.repository_name || '/', '/') - 1)
            AND project_blob.digest = NEW.digest);
    INSERT INTO project_blob (project_name, digest, size, links)
    SELECT substr(NEW.repository_name, 1, instr(NEW.repository_name || '/', '/') - 1), digest, size, 0
    FROM blob WHERE digest = NEW.digest AND NOT EXISTS (SELECT 1 FROM project_blob
        WHERE project_name = substr(NEW.repository_name, 1, instr(NEW.repository_name || '/', '/') - 1)
            AND project_blob.digest = NEW.digest);
    UPDATE project_blob SET links = links + 1
    WHERE project_name = substr(NEW.repository_name, 1, instr(NEW.repository_name || '/', '/') - 1)
        AND digest = NEW.digest;
END;

CREATE TRIGGER repository_blob_unlinked AFTER DELETE ON repository_blob BEGIN
    UPDATE project_blob SET links = links - 1
    WHERE project_name = substr(OLD.repository_name, 1, instr(OLD.repository_name || '/', '/') - 1)
        AND digest = OLD.digest;
    INSERT INTO project_usage (project_name, bytes)
    SELECT project_name, -size FROM project_blob
    WHERE project_name = substr(OLD.repository_name, 1, instr(OLD.repository_name || '/', '/') - 1)
        AND digest = OLD.digest AND links = 0;
    DELETE FROM project_blob
    WHERE project_name = substr(OLD.repository_name, 1, instr(OLD.repository_name || '/', '/') - 1)
        AND digest = OLD.digest AND links = 0;
END;

CREATE TRIGGER manifest_stored AFTER INSERT ON manifest BEGIN
    INSERT INTO project_usage (project_name, bytes)
    VALUES (substr(NEW.repository_name, 1, instr(NEW.repository_name || '/', '/') - 1), length(NEW.payload));
END;
CREATE TRIGGER manifest_deleted AFTER DELETE ON manifest BEGIN
    INSERT INTO project_usage (project_name, bytes)
    VALUES (substr(OLD.repository_name, 1, instr(OLD.repository_name || '/', '/') - 1), -length(OLD.payload));
END;

CREATE TRIGGER tag_stored AFTER INSERT ON tag BEGIN
    INSERT INTO project_usage (project_name, tags)
    VALUES (substr(NEW.repository_name, 1, instr(NEW.repository_name || '/', '/') - 1), 1);
END;
CREATE TRIGGER tag_deleted AFTER DELETE ON tag BEGIN
    INSERT INTO project_usage (project_name, tags)
    VALUES (substr(OLD.repository_name, 1, instr(OLD.repository_name || '/', '/') - 1), -1);
END;

-- Sessions that hold nothing do not come here.
CREATE TRIGGER blob_upload_session_begun AFTER INSERT ON blob_upload_session
WHEN NEW.reserved > 0 AND NEW.status IN ('pending', 'uploading', 'finalizing') BEGIN
    INSERT INTO project_usage (project_name, reserved)
    VALUES (substr(NEW.repository_name, 1, instr(NEW.repository_name || '/', '/') - 1), NEW.reserved);
END;
CREATE TRIGGER blob_upload_session_moved AFTER UPDATE OF status, reserved ON blob_upload_session
WHEN CASE WHEN NEW.status IN ('pending', 'uploading', 'finalizing') THEN NEW.reserved ELSE 0 END
    <> CASE WHEN OLD.status IN ('pending', 'uploading', 'finalizing') THEN OLD.reserved ELSE 0 END
BEGIN
    INSERT INTO project_usage (project_name, reserved)
    VALUES (substr(OLD.repository_name, 1, instr(OLD.repository_name || '/', '/') - 1),
        CASE WHEN NEW.status IN ('pending', 'uploading', 'finalizing') THEN NEW.reserved ELSE 0 END
            - CASE WHEN OLD.status IN ('pending', 'uploading', 'finalizing') THEN OLD.reserved ELSE 0 END);
END;
CREATE TRIGGER blob_upload_session_deleted AFTER DELETE ON blob_upload_session
WHEN OLD.reserved > 0 AND OLD.status IN ('pending', 'uploading', 'finalizing') BEGIN
    INSERT INTO project_usage (project_name, reserved)
    VALUES (substr(OLD.repository_name, 1, instr(OLD.repository_name || '/', '/') - 1), -OLD.reserved);
END;

-- What is there already.
INSERT INTO project_blob (project_name, digest, size, links)
SELECT substr(repository_name, 1, instr(repository_name || '/', '/') - 1), blob.digest, MIN(blob.size), COUNT(*)
FROM repository_blob JOIN blob ON blob.digest = repository_blob.digest
GROUP BY 1, 2;

INSERT INTO project_usage (project_name, bytes, tags)
SELECT project_name, SUM(bytes), SUM(tags) FROM (
    SELECT project_name, size AS bytes, 0 AS tags FROM project_blob
    UNION ALL SELECT substr(repository_name, 1, instr(repository_name || '/', '/') - 1), length(payload), 0
        FROM manifest
    UNION ALL SELECT substr(repository_name, 1, instr(repository_name || '/', '/') - 1), 0, 1 FROM tag) AS counted
GROUP BY project_name;
