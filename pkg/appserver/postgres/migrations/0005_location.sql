-- Accepted messages that can be withdrawn.
CREATE TABLE {s}.location (
	job     bigint NOT NULL REFERENCES {s}.job ON DELETE CASCADE,
	seq     bigint NOT NULL, -- seq of the subscription
	service text NOT NULL,
	origin  text NOT NULL,
	url     text NOT NULL,
	until   timestamptz NOT NULL, -- expiry of the message
	claimed timestamptz NOT NULL DEFAULT '-infinity', -- end of the lease of the server that withdraws it
	PRIMARY KEY (job, seq)
);
CREATE INDEX location_until ON {s}.location (until);

ALTER TABLE {s}.job ADD COLUMN withdrawing boolean NOT NULL DEFAULT false; -- its messages are being withdrawn
ALTER TABLE {s}.job ADD COLUMN withdrawn bigint NOT NULL DEFAULT 0;
ALTER TABLE {s}.job ADD COLUMN not_withdrawn bigint NOT NULL DEFAULT 0;
CREATE INDEX job_withdrawing ON {s}.job (seq) WHERE withdrawing;
