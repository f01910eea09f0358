-- Reports of service workers about a push.
ALTER TABLE {s}.job ADD COLUMN track text NOT NULL DEFAULT '';
ALTER TABLE {s}.job ADD COLUMN shown bigint NOT NULL DEFAULT 0;
ALTER TABLE {s}.job ADD COLUMN clicked bigint NOT NULL DEFAULT 0;
ALTER TABLE {s}.job ADD COLUMN closed bigint NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX job_track ON {s}.job (track) WHERE track <> '';
