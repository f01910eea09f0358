-- What a push service keeps over restarts. Times are milliseconds of Unix time.

CREATE TABLE subscriptions (
	num INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order in which they were made
	id TEXT NOT NULL UNIQUE,
	path TEXT NOT NULL UNIQUE,             -- of the endpoint
	key BLOB,                              -- of the application server, 65 bytes
	created INTEGER NOT NULL,
	agent TEXT,                            -- uaid and channel id, for those of a WebSocket
	channel TEXT,
	seq INTEGER NOT NULL DEFAULT 0,        -- of the last message
	expired INTEGER                        -- when it ended, or null
) STRICT;

CREATE TABLE messages (
	num INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order in which they were accepted
	id TEXT NOT NULL UNIQUE,
	subscription TEXT NOT NULL,
	seq INTEGER NOT NULL,
	time INTEGER NOT NULL,
	ttl INTEGER NOT NULL,                  -- in seconds
	expires INTEGER NOT NULL,
	urgency TEXT NOT NULL,
	topic TEXT NOT NULL,
	encoding TEXT NOT NULL,
	encryption TEXT NOT NULL,
	crypto_key TEXT NOT NULL,
	body BLOB,
	receipts TEXT                          -- path of the receipt subscription, or null
) STRICT;

CREATE INDEX messages_of ON messages (subscription, topic);

CREATE TABLE receipt_subscriptions (
	path TEXT PRIMARY KEY,
	used INTEGER NOT NULL                  -- when it was made, or had its last receipt
) STRICT;

CREATE TABLE receipts (
	path TEXT NOT NULL,
	seq INTEGER NOT NULL,
	message TEXT NOT NULL,                 -- path of its resource
	status INTEGER NOT NULL,
	PRIMARY KEY (path, seq)
) STRICT, WITHOUT ROWID;
