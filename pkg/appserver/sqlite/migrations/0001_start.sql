CREATE TABLE subscription (
	seq         INTEGER PRIMARY KEY AUTOINCREMENT,
	id          TEXT NOT NULL,
	version     INTEGER NOT NULL DEFAULT 1,
	endpoint    TEXT NOT NULL UNIQUE,
	p256dh      TEXT NOT NULL,
	auth        TEXT NOT NULL,
	service     TEXT NOT NULL,
	origin      TEXT NOT NULL,
	user        TEXT NOT NULL,
	tags        TEXT NOT NULL, -- a JSON array, or empty
	created     INTEGER NOT NULL, -- in milliseconds since 1970, like all times
	last_status INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX subscription_user ON subscription (user) WHERE user <> '';

CREATE TABLE tag (
	tag TEXT NOT NULL,
	seq INTEGER NOT NULL REFERENCES subscription (seq) ON DELETE CASCADE,
	PRIMARY KEY (tag, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_seq ON tag (seq);

-- Counting a million rows is slow, so the number is maintained.
CREATE TABLE service_count (
	service TEXT PRIMARY KEY,
	n       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER subscription_added AFTER INSERT ON subscription BEGIN
	INSERT INTO service_count VALUES (new.service, 1) ON CONFLICT (service) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER subscription_removed AFTER DELETE ON subscription BEGIN
	UPDATE service_count SET n = n - 1 WHERE service = old.service;
END;
CREATE TRIGGER subscription_moved AFTER UPDATE OF service ON subscription WHEN old.service <> new.service BEGIN
	UPDATE service_count SET n = n - 1 WHERE service = old.service;
	INSERT INTO service_count VALUES (new.service, 1) ON CONFLICT (service) DO UPDATE SET n = n + 1;
END;

CREATE TABLE job (
	seq        INTEGER PRIMARY KEY AUTOINCREMENT,
	id         TEXT NOT NULL UNIQUE,
	state      TEXT NOT NULL,
	message    TEXT NOT NULL, -- JSON
	to_user    TEXT NOT NULL,
	to_tag     TEXT NOT NULL,
	max_seq    INTEGER NOT NULL,
	total      INTEGER NOT NULL,
	cursor_seq INTEGER NOT NULL DEFAULT 0,
	open_seqs  TEXT NOT NULL DEFAULT '[]', -- JSON
	problem    TEXT NOT NULL DEFAULT '',
	created    INTEGER NOT NULL,
	started    INTEGER NOT NULL DEFAULT 0,
	finished   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX job_unfinished ON job (seq) WHERE state IN ('queued', 'running');

CREATE TABLE job_count (
	job     INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
	service TEXT NOT NULL,
	class   TEXT NOT NULL,
	n       INTEGER NOT NULL,
	PRIMARY KEY (job, service, class)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_failure (
	job      INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
	seq      INTEGER NOT NULL,
	id       TEXT NOT NULL,
	service  TEXT NOT NULL,
	origin   TEXT NOT NULL,
	class    TEXT NOT NULL,
	status   INTEGER NOT NULL,
	problem  TEXT NOT NULL,
	hint     TEXT NOT NULL,
	attempts INTEGER NOT NULL,
	time     INTEGER NOT NULL,
	PRIMARY KEY (job, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_again (
	job   INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
	seq   INTEGER NOT NULL,
	tries INTEGER NOT NULL,
	PRIMARY KEY (job, seq)
) STRICT, WITHOUT ROWID;
