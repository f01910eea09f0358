-- A probe writes here to check whether the database can be written.
CREATE TABLE {s}.probe (
	id   integer PRIMARY KEY CHECK (id = 1),
	time timestamptz NOT NULL
) WITH (fillfactor = 10);
