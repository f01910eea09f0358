-- The data that a push service keeps across restarts. Times are Unix times in
-- milliseconds.

CREATE TABLE subscriptions (
	num INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of creation
	id TEXT NOT NULL UNIQUE,
	path TEXT NOT NULL UNIQUE,             -- path of the endpoint
	key BLOB,                              -- application server key, 65 bytes
	created INTEGER NOT NULL,
	agent TEXT,                            -- agent and channel, or null in the REST channel
	channel TEXT,
	seq INTEGER NOT NULL DEFAULT 0,        -- seq of the last message
	expired INTEGER                        -- time of expiry, or null
) STRICT;

CREATE TABLE messages (
	num INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of acceptance
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
	used INTEGER NOT NULL                  -- time of creation or of the last receipt
) STRICT;

CREATE TABLE receipts (
	path TEXT NOT NULL,
	seq INTEGER NOT NULL,
	message TEXT NOT NULL,                 -- path of the message resource
	status INTEGER NOT NULL,
	PRIMARY KEY (path, seq)
) STRICT, WITHOUT ROWID;
