ALTER TABLE job ADD COLUMN retried INTEGER NOT NULL DEFAULT 0; -- time from which the TTL counts
