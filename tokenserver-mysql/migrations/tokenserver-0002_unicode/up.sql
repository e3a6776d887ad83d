-- What is ours. Every statement may be run again, since MySQL commits each by itself: what was cut in the middle is
-- begun anew. An ALTER that has been done already does nothing.

-- Its rows are locked to have the sign-ins of one account follow each other. An account is one of a few thousand slots,
-- by a hash of its e-mail: a user's own row is not there yet when it matters most.
CREATE TABLE IF NOT EXISTS syncserver_account_locks (
    slot INT NOT NULL PRIMARY KEY
) ENGINE = InnoDB;

-- Accounts are told apart byte for byte, and hold any Unicode.
ALTER TABLE users
    MODIFY email VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    MODIFY client_state VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL;

ALTER TABLE nodes MODIFY node VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL;
