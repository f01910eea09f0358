ALTER TABLE job ADD COLUMN retried INTEGER NOT NULL DEFAULT 0; -- the TTL counts from then
