-- What each project has, counted where it changes: triggers keep the count in the transaction of whatever statement
-- links, unlinks, deletes or ends something, so that each is counted exactly once. PostgreSQL.
--
-- A project is the first segment of a repository's name; it is counted whether or not `project` has a row of it.

-- In how many of a project's repositories a blob is: it counts once. The size is the one that was counted.
CREATE TABLE project_blob (
    project_name TEXT COLLATE "C" NOT NULL,
    digest       TEXT NOT NULL,
    size         BIGINT NOT NULL,
    links        BIGINT NOT NULL CHECK (links >= 0),
    PRIMARY KEY (project_name, digest)
);

-- A ledger whose sum is the usage: rows are only added, so that nobody waits for anybody to count, and now and then
-- some of them become their sum: see src/db/quotas.rs.
CREATE TABLE project_usage (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_name TEXT COLLATE "C" NOT NULL,
    -- Of blobs and of manifests.
    bytes        BIGINT NOT NULL DEFAULT 0,
    -- Held for sessions that are open.
    reserved     BIGINT NOT NULL DEFAULT 0,
    tags         BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX project_usage_project ON project_usage (project_name, id);

-- Bytes held for the session while it is open, whatever it comes to. Not part of what compare-and-swap writes.
ALTER TABLE blob_upload_session ADD COLUMN reserved BIGINT NOT NULL DEFAULT 0 CHECK (reserved >= 0);

-- Whoever links a blob or takes a link away holds the blob's row: see src/db/links.rs.
CREATE FUNCTION count_linked_blob() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    counted project_blob;
BEGIN
    INSERT INTO project_blob (project_name, digest, size, links)
    SELECT split_part(NEW.repository_name, '/', 1), digest, size, 1 FROM blob WHERE digest = NEW.digest
    ON CONFLICT (project_name, digest) DO UPDATE SET links = project_blob.links + 1
    RETURNING * INTO STRICT counted;
    IF counted.links = 1 THEN
        INSERT INTO project_usage (project_name, bytes) VALUES (counted.project_name, counted.size);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER repository_blob_linked AFTER INSERT ON repository_blob
    FOR EACH ROW EXECUTE FUNCTION count_linked_blob();

CREATE FUNCTION count_unlinked_blob() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    counted project_blob;
BEGIN
    UPDATE project_blob SET links = links - 1
    WHERE project_name = split_part(OLD.repository_name, '/', 1) AND digest = OLD.digest
    RETURNING * INTO counted;
    IF counted.links = 0 THEN
        DELETE FROM project_blob WHERE project_name = counted.project_name AND digest = counted.digest;
        INSERT INTO project_usage (project_name, bytes) VALUES (counted.project_name, -counted.size);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER repository_blob_unlinked AFTER DELETE ON repository_blob
    FOR EACH ROW EXECUTE FUNCTION count_unlinked_blob();

CREATE FUNCTION count_manifest() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO project_usage (project_name, bytes)
        VALUES (split_part(NEW.repository_name, '/', 1), length(NEW.payload));
    ELSE
        INSERT INTO project_usage (project_name, bytes)
        VALUES (split_part(OLD.repository_name, '/', 1), -length(OLD.payload));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER manifest_stored AFTER INSERT ON manifest FOR EACH ROW EXECUTE FUNCTION count_manifest();
CREATE TRIGGER manifest_deleted AFTER DELETE ON manifest FOR EACH ROW EXECUTE FUNCTION count_manifest();

CREATE FUNCTION count_tag() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO project_usage (project_name, tags) VALUES (split_part(NEW.repository_name, '/', 1), 1);
    ELSE
        INSERT INTO project_usage (project_name, tags) VALUES (split_part(OLD.repository_name, '/', 1), -1);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tag_stored AFTER INSERT ON tag FOR EACH ROW EXECUTE FUNCTION count_tag();
CREATE TRIGGER tag_deleted AFTER DELETE ON tag FOR EACH ROW EXECUTE FUNCTION count_tag();

-- Sessions that hold nothing do not come here.
CREATE FUNCTION count_reservation() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    held BIGINT := 0;
    name TEXT;
BEGIN
    IF TG_OP <> 'DELETE' THEN
        name := NEW.repository_name;
        IF NEW.status IN ('pending', 'uploading', 'finalizing') THEN
            held := NEW.reserved;
        END IF;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        name := OLD.repository_name;
        IF OLD.status IN ('pending', 'uploading', 'finalizing') THEN
            held := held - OLD.reserved;
        END IF;
    END IF;
    IF held <> 0 THEN
        INSERT INTO project_usage (project_name, reserved) VALUES (split_part(name, '/', 1), held);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER blob_upload_session_begun AFTER INSERT ON blob_upload_session
    FOR EACH ROW WHEN (NEW.reserved > 0) EXECUTE FUNCTION count_reservation();
CREATE TRIGGER blob_upload_session_moved AFTER UPDATE OF status, reserved ON blob_upload_session
    FOR EACH ROW WHEN (OLD.reserved <> NEW.reserved OR (OLD.reserved > 0 AND OLD.status <> NEW.status))
    EXECUTE FUNCTION count_reservation();
CREATE TRIGGER blob_upload_session_deleted AFTER DELETE ON blob_upload_session
    FOR EACH ROW WHEN (OLD.reserved > 0) EXECUTE FUNCTION count_reservation();

-- What is there already. The triggers above keep everybody else off these tables until all of it is counted.
INSERT INTO project_blob (project_name, digest, size, links)
SELECT split_part(repository_name, '/', 1), blob.digest, MIN(blob.size), COUNT(*)
FROM repository_blob JOIN blob ON blob.digest = repository_blob.digest
GROUP BY split_part(repository_name, '/', 1), blob.digest;

INSERT INTO project_usage (project_name, bytes, tags)
SELECT project_name, SUM(bytes), SUM(tags) FROM (
    SELECT project_name, size AS bytes, 0 AS tags FROM project_blob
    UNION ALL SELECT split_part(repository_name, '/', 1), length(payload), 0 FROM manifest
    UNION ALL SELECT split_part(repository_name, '/', 1), 0, 1 FROM tag) AS counted
GROUP BY project_name;
