-- The tables of the old Sync server in Python on SQLite, as its SQLAlchemy makes them (server-syncstorage,
-- storage/sql/dbconnect.py), with rows such as it writes. Times are of 2023-11-14; the tests' clock shows 22:13:20.
CREATE TABLE collections (
    collectionid INTEGER NOT NULL, name VARCHAR(32) NOT NULL, PRIMARY KEY (collectionid), UNIQUE (name)
);
CREATE TABLE user_collections (
    userid INTEGER NOT NULL, collection INTEGER NOT NULL, last_modified BIGINT NOT NULL, PRIMARY KEY (userid, collection)
);
CREATE TABLE batch_uploads (
    batch BIGINT NOT NULL, userid INTEGER NOT NULL, collection INTEGER NOT NULL, PRIMARY KEY (batch, userid)
);
CREATE TABLE migration (fxa_uid VARCHAR(255) NOT NULL, started_at BIGINT NOT NULL, state VARCHAR(32), PRIMARY KEY (fxa_uid));
CREATE TABLE bso (
    userid INTEGER NOT NULL, collection INTEGER NOT NULL, id VARCHAR(64) NOT NULL, sortindex INTEGER,
    modified BIGINT NOT NULL, payload TEXT NOT NULL, payload_size INTEGER DEFAULT 0 NOT NULL,
    ttl INTEGER DEFAULT 2100000000 NOT NULL, PRIMARY KEY (userid, collection, id)
);
CREATE INDEX bso_ttl_idx ON bso (ttl);
CREATE INDEX bso_usr_col_mod_idx ON bso (userid, collection, modified);
CREATE TABLE batch_upload_items (
    batch BIGINT NOT NULL, userid INTEGER NOT NULL, id VARCHAR(64) NOT NULL, sortindex INTEGER, payload TEXT,
    payload_size INTEGER, ttl_offset INTEGER, PRIMARY KEY (batch, userid, id)
);
-- Without standard_collections every name has a number of its own.
INSERT INTO collections VALUES (1, 'meta'), (2, 'bookmarks'), (3, 'my-own');
INSERT INTO user_collections VALUES
    (1, 1, 1699999000010), (1, 2, 1699999900570), (1, 3, 1699999800000), (2, 2, 1699999700990);
INSERT INTO bso VALUES
    (1, 1, 'global', NULL, 1699999000010, '{"syncID":"x"}', 14, 2100000000),
    (1, 2, 'Ab-_', 140, 1699999900570, '{"ciphertext":"é🦊"}', 19, 2100000000),
    (1, 2, 'ab-_', 0, 1699999900450, '', 0, 2100000000),
    (1, 2, 'soon', NULL, 1699999900450, 'x', 1, 1700000001),
    (1, 2, 'now', NULL, 1699999900450, 'x', 1, 1700000000),
    (1, 2, 'gone', NULL, 1699999900450, 'x', 1, 1699999999),
    (2, 2, 'menu', -5, 1699999700990, 'of another user', 15, 1800000000);
INSERT INTO batch_uploads VALUES (1699999950001, 1, 2);
INSERT INTO batch_upload_items VALUES (1699999950001, 1, 'staged', NULL, 'x', 1, NULL);
