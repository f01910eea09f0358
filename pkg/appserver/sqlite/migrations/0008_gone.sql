ALTER TABLE subscription ADD COLUMN gone_since INTEGER NOT NULL DEFAULT 0; -- time of the first response that it is gone, after the last accepted message
