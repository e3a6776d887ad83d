-- Facts about the database as a whole, such as the fingerprint of the server's master secret.
CREATE TABLE IF NOT EXISTS syncserver_meta (
    name varchar(64) PRIMARY KEY,
    value text NOT NULL
);
