ALTER TABLE {s}.subscription ADD COLUMN gone_since timestamptz; -- the first response that it is gone, since the last message that was accepted
