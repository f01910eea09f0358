ALTER TABLE {s}.job ADD COLUMN retried timestamptz; -- time from which the TTL counts
