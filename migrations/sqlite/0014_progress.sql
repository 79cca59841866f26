-- What whoever finalizes an upload is at, as of the last renewal of its lease. SQLite.

ALTER TABLE blob_upload_session ADD COLUMN progress_phase TEXT;
ALTER TABLE blob_upload_session ADD COLUMN progress_done BIGINT;
ALTER TABLE blob_upload_session ADD COLUMN progress_total BIGINT;
