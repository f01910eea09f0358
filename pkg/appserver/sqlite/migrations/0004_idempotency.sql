-- Requests that have created a job and must not create a second one.
CREATE TABLE idempotency (
	key     TEXT PRIMARY KEY,
	request TEXT NOT NULL,
	job     INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
	until   INTEGER NOT NULL -- expiry of the key
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_until ON idempotency (until);
CREATE INDEX idempotency_job ON idempotency (job);
