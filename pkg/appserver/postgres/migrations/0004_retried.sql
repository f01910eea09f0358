ALTER TABLE {s}.job ADD COLUMN retried timestamptz; -- new start of the TTL
