-- A probe writes here to check whether the database can be written.
CREATE TABLE probe (
	id   INTEGER PRIMARY KEY CHECK (id = 1),
	time INTEGER NOT NULL
) STRICT;
