-- Accepted messages that can be withdrawn.
CREATE TABLE location (
	job     INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
	seq     INTEGER NOT NULL, -- seq of the subscription
	service TEXT NOT NULL,
	origin  TEXT NOT NULL,
	url     TEXT NOT NULL,
	until   INTEGER NOT NULL, -- expiry of the message
	claimed INTEGER NOT NULL DEFAULT 0, -- end of the lease of the server that withdraws it
	PRIMARY KEY (job, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX location_until ON location (until);

ALTER TABLE job ADD COLUMN withdrawing INTEGER NOT NULL DEFAULT 0; -- its messages are being withdrawn
ALTER TABLE job ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN not_withdrawn INTEGER NOT NULL DEFAULT 0;
CREATE INDEX job_withdrawing ON job (seq) WHERE withdrawing = 1;
