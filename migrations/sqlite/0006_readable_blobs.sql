-- Whether a blob's bytes can be read.

-- 1 while the bytes were proven only under a key that a client's URL may still write to: nobody reads, links or refers
-- to the blob before a copy of them is proven and placed. A second upload of the same bytes must not rest on the first
-- one's: it counts up, and the constraint sends it back to place its own.
ALTER TABLE blob ADD COLUMN exposed SMALLINT NOT NULL DEFAULT 0
    CONSTRAINT blob_is_exposed_once CHECK (exposed IN (0, 1));
-- When the object was seen to be gone from the store. Whoever uploads the bytes again writes null here.
ALTER TABLE blob ADD COLUMN lost_at TEXT;
