-- One row for each rate that servers share; next is the time at which the next request may
-- be sent. Each sending server writes it ten times per second, and its loss causes only a
-- short burst, so the table is not logged.
CREATE UNLOGGED TABLE {s}.rate (
	name       text PRIMARY KEY,
	next       timestamptz NOT NULL,
	per_second double precision NOT NULL, -- the lowest rate that a server requested
	asked      timestamptz NOT NULL       -- time of that request
) WITH (fillfactor = 50);
