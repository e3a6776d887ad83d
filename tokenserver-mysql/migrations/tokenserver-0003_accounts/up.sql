-- What is ours alone. An account stands here when the operator has said something of it (`verdict`: allowed or denied),
-- or when it was refused as a newcomer. Times are in ms since the epoch. Bytes, so that no collation makes two e-mails
-- one: they are the UTF-8 of what stands in `users`.
CREATE TABLE IF NOT EXISTS syncserver_accounts (
    email VARBINARY(1020) NOT NULL PRIMARY KEY,
    verdict VARCHAR(16) CHARACTER SET ascii NULL,
    decided_at BIGINT NULL,
    refusals BIGINT NOT NULL DEFAULT 0,
    refused_first BIGINT NULL,
    refused_last BIGINT NULL,
    reason VARCHAR(32) CHARACTER SET ascii NULL
) ENGINE = InnoDB;

-- The kinds of devices that asked for tokens. `agent` is the user agent without version numbers.
CREATE TABLE IF NOT EXISTS syncserver_devices (
    uid BIGINT NOT NULL,
    agent VARCHAR(150) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_agent VARCHAR(255) CHARACTER SET ascii NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    PRIMARY KEY (uid, agent)
) ENGINE = InnoDB;
