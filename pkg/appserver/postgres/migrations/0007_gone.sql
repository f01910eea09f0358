ALTER TABLE {s}.subscription ADD COLUMN gone_since timestamptz; -- time of the first response that it is gone, after the last accepted message
