-- The current application server keys of the servers that use the database.
CREATE UNLOGGED TABLE {s}.server_key (
	key   text PRIMARY KEY,
	until timestamptz NOT NULL -- time at which the server must have announced it again
);
