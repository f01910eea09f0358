-- A row for each rate that servers share: next is when the next request may be sent.
-- It is written ten times a second by each server that sends, and losing it costs a
-- short burst, so it is not logged.
CREATE UNLOGGED TABLE {s}.rate (
	name       text PRIMARY KEY,
	next       timestamptz NOT NULL,
	per_second double precision NOT NULL, -- the lowest that a server asked for
	asked      timestamptz NOT NULL       -- when that was
) WITH (fillfactor = 50);
