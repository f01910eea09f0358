-- What a probe writes, to find out whether anything can be written.
CREATE TABLE {s}.probe (
	id   integer PRIMARY KEY CHECK (id = 1),
	time timestamptz NOT NULL
) WITH (fillfactor = 10);
