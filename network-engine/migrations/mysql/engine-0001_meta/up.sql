-- Facts about the database as a whole, such as the fingerprint of the server's master secret.
CREATE TABLE IF NOT EXISTS syncserver_meta (
    name VARCHAR(64) CHARACTER SET ascii NOT NULL PRIMARY KEY,
    value VARCHAR(255) CHARACTER SET ascii NOT NULL
) ENGINE = InnoDB;
