-- How fast a store was seen to copy and to be read, beside what the probe saw. SQLite.

ALTER TABLE store_probe ADD COLUMN pace TEXT;
