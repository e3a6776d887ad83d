-- Facts about the database as a whole, such as the fingerprint of the server's master secret.
CREATE TABLE server_meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
