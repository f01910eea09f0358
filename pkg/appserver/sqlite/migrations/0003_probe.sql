-- What a probe writes, to find out whether anything can be written.
CREATE TABLE probe (
	id   INTEGER PRIMARY KEY CHECK (id = 1),
	time INTEGER NOT NULL
) STRICT;
