-- What is ours alone. An account stands here when the operator has said something of it (`verdict`: allowed or denied),
-- or when it was refused as a newcomer. Times are in ms since the epoch.
CREATE TABLE syncserver_accounts (
    email varchar(255) COLLATE "C" PRIMARY KEY,
    verdict varchar(16),
    decided_at bigint,
    refusals bigint NOT NULL DEFAULT 0,
    refused_first bigint,
    refused_last bigint,
    reason varchar(32)
);

-- The kinds of devices that asked for tokens. `agent` is the user agent without version numbers.
CREATE TABLE syncserver_devices (
    uid bigint NOT NULL,
    agent varchar(150) COLLATE "C" NOT NULL,
    user_agent varchar(255) NOT NULL,
    first_seen bigint NOT NULL,
    last_seen bigint NOT NULL,
    PRIMARY KEY (uid, agent)
);
