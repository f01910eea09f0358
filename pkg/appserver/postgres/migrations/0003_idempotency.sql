-- Requests that have created a job and must not create a second one.
CREATE TABLE {s}.idempotency (
	key     text PRIMARY KEY,
	request text NOT NULL,
	job     bigint NOT NULL REFERENCES {s}.job ON DELETE CASCADE,
	until   timestamptz NOT NULL -- expiry of the key
);
CREATE INDEX idempotency_until ON {s}.idempotency (until);
CREATE INDEX idempotency_job ON {s}.idempotency (job);
