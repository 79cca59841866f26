-- What a project's or a user's end leaves to whoever comes to have the name. SQLite.

-- Which project an entry is about: its name may have been another's before. Null for what is in none, or was written
-- while there was none of that name.
ALTER TABLE audit_entry ADD COLUMN project_id BIGINT;
UPDATE audit_entry SET project_id = (
    SELECT id FROM project WHERE name = project_name AND created_at <= happened_at) WHERE project_name IS NOT NULL;
CREATE INDEX audit_entry_project_id ON audit_entry (project_id, id) WHERE project_id IS NOT NULL;

-- Here and not in the statement that writes: the release before writes without it.
CREATE TRIGGER audit_entry_written AFTER INSERT ON audit_entry WHEN NEW.project_name IS NOT NULL BEGIN
    UPDATE audit_entry SET project_id = (SELECT id FROM project WHERE name = NEW.project_name) WHERE id = NEW.id;
END;

-- Limits that an administrator had set for projects that are gone: they hold for whoever makes one of the name anew.
CREATE TABLE former_project (
    name            TEXT PRIMARY KEY,
    storage_granted BIGINT NOT NULL CHECK (storage_granted >= -1),
    count_granted   BIGINT NOT NULL CHECK (count_granted >= -1)
);

-- Sessions that are open in a project: they end with it.
CREATE INDEX blob_upload_session_repository ON blob_upload_session (repository_name)
    WHERE status IN ('pending', 'uploading', 'finalizing');

-- Whose robots count with whom.
CREATE INDEX project_owner ON project (owner_name);
