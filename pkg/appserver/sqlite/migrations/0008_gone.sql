ALTER TABLE subscription ADD COLUMN gone_since INTEGER NOT NULL DEFAULT 0; -- the first response that it is gone, since the last message that was accepted
