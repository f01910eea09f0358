ALTER TABLE {s}.job ADD COLUMN retried timestamptz; -- the TTL counts from then
