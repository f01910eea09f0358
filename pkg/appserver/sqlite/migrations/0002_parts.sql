-- A job is sent in parts. Each part is a range of subscriptions, which is leased to one
-- server at a time.
CREATE TABLE job_part (
	job        INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
	number     INTEGER NOT NULL, -- from 1; part 0 has the records to send to again
	lease      INTEGER NOT NULL DEFAULT 0, -- increases with each claim
	until      INTEGER NOT NULL DEFAULT 0, -- expiry of the lease
	step       INTEGER NOT NULL DEFAULT 0, -- number of the last commit
	after_seq  INTEGER NOT NULL,
	up_to      INTEGER NOT NULL,
	cursor_seq INTEGER NOT NULL,
	open_seqs  TEXT NOT NULL DEFAULT '[]', -- JSON
	done       INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;

ALTER TABLE job ADD COLUMN cut_seq INTEGER NOT NULL DEFAULT 0; -- recipients up to this one belong to parts
ALTER TABLE job ADD COLUMN parts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
UPDATE job SET cut_seq = CASE state WHEN 'done' THEN max_seq ELSE cursor_seq END;
INSERT INTO job_part (job, number, after_seq, up_to, cursor_seq, open_seqs)
	SELECT seq, 1, 0, cursor_seq, cursor_seq, open_seqs FROM job WHERE cursor_seq > 0 AND state IN ('queued', 'running', 'failed');
UPDATE job SET parts = 1 WHERE seq IN (SELECT job FROM job_part);
UPDATE job SET state = 'canceled' WHERE state = 'cancelled';
ALTER TABLE job DROP COLUMN cursor_seq;
ALTER TABLE job DROP COLUMN open_seqs;
DROP INDEX job_unfinished;
CREATE INDEX job_unfinished ON job (seq) WHERE state IN ('queued', 'running', 'scheduled');

-- The application server key with which the subscription was created.
ALTER TABLE subscription ADD COLUMN public_key TEXT NOT NULL DEFAULT '';
