-- What is ours alone. An account stands here when the operator has said something of it (`verdict`: allowed or denied),
-- or when it was refused as a newcomer. Times are in ms since the epoch.
CREATE TABLE syncserver_accounts (
    email TEXT NOT NULL PRIMARY KEY,
    verdict TEXT,
    decided_at INTEGER,
    refusals INTEGER NOT NULL DEFAULT 0,
    refused_first INTEGER,
    refused_last INTEGER,
    reason TEXT
);

-- The kinds of devices that asked for tokens. `agent` is the user agent without version numbers.
CREATE TABLE syncserver_devices (
    uid INTEGER NOT NULL,
    agent TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (uid, agent)
);
