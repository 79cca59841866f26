-- What each project has, counted where it changes: triggers keep the count in the transaction of whatever statement
-- links, unlinks, deletes or ends something, so that each is counted exactly once. PostgreSQL.
--
-- A project is the first segment of a repository's name; it is counted whether or not `project` has a row of it.

-- In how many of a project's repositories a blob is: it counts once. The size is the one that was counted.
CREATE TABLE project_blob (
    project_name TEXT COLLATE "C" NOT NULL,
    blob_id      BIGINT NOT NULL,
    size         BIGINT NOT NULL,
    links        BIGINT NOT NULL CHECK (links >= 0),
    PRIMARY KEY (project_name, blob_id)
);

-- A ledger whose sum is the usage: rows are only added, so that nobody waits for anybody to count, and now and then
-- some of them become their sum: see src/db/upkeep/quotas.rs.
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

CREATE FUNCTION project_of(repository BIGINT) RETURNS TEXT LANGUAGE sql STABLE AS
    'SELECT project_name FROM repository WHERE id = $1';

-- Who counts links shares this lock of their project; who counts them anew has it alone, and waits for nobody while
-- they have it. See src/db/upkeep/usage.rs.
CREATE FUNCTION share_count(project TEXT) RETURNS VOID LANGUAGE sql AS
    'SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))';

-- Whoever links a blob or takes a link away holds the blob's row: see src/db/registry/links.rs.
CREATE FUNCTION count_linked_blob() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    project TEXT COLLATE "C" := project_of(NEW.repository_id);
    counted project_blob;
BEGIN
    PERFORM share_count(project);
    INSERT INTO project_blob (project_name, blob_id, size, links)
    SELECT project, id, size, 1 FROM blob WHERE id = NEW.blob_id
    ON CONFLICT (project_name, blob_id) DO UPDATE SET links = project_blob.links + 1
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
    project TEXT COLLATE "C" := project_of(OLD.repository_id);
    counted project_blob;
BEGIN
    PERFORM share_count(project);
    UPDATE project_blob SET links = links - 1 WHERE project_name = project AND blob_id = OLD.blob_id
    RETURNING * INTO counted;
    IF counted.links = 0 THEN
        DELETE FROM project_blob WHERE project_name = counted.project_name AND blob_id = counted.blob_id;
        INSERT INTO project_usage (project_name, bytes) VALUES (counted.project_name, -counted.size);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER repository_blob_unlinked AFTER DELETE ON repository_blob
    FOR EACH ROW EXECUTE FUNCTION count_unlinked_blob();

CREATE FUNCTION count_manifest() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO project_usage (project_name, bytes) VALUES (project_of(NEW.repository_id), length(NEW.payload));
    ELSE
        INSERT INTO project_usage (project_name, bytes) VALUES (project_of(OLD.repository_id), -length(OLD.payload));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER manifest_stored AFTER INSERT ON manifest FOR EACH ROW EXECUTE FUNCTION count_manifest();
CREATE TRIGGER manifest_deleted AFTER DELETE ON manifest FOR EACH ROW EXECUTE FUNCTION count_manifest();

CREATE FUNCTION count_tag() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO project_usage (project_name, tags) VALUES (project_of(NEW.repository_id), 1);
    ELSE
        INSERT INTO project_usage (project_name, tags) VALUES (project_of(OLD.repository_id), -1);
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
        IF NEW.ended_at IS NULL THEN
            held := NEW.reserved;
        END IF;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        name := OLD.repository_name;
        IF OLD.ended_at IS NULL THEN
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
CREATE TRIGGER blob_upload_session_moved AFTER UPDATE OF ended_at, reserved ON blob_upload_session
    FOR EACH ROW WHEN (OLD.reserved <> NEW.reserved OR (OLD.reserved > 0 AND OLD.status <> NEW.status))
    EXECUTE FUNCTION count_reservation();
CREATE TRIGGER blob_upload_session_deleted AFTER DELETE ON blob_upload_session
    FOR EACH ROW WHEN (OLD.reserved > 0) EXECUTE FUNCTION count_reservation();
