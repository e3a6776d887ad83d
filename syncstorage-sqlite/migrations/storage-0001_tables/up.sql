-- The storage of all users. Times are milliseconds since the epoch, sizes are bytes.

-- One row for each user who ever wrote. It outlives the user's data, so that time never goes back for a client.
CREATE TABLE stores (
    user_id INTEGER NOT NULL PRIMARY KEY,
    modified INTEGER NOT NULL
);

-- The names of collections, shared by all users. The low numbers are those of every Sync server; number 100 is a
-- placeholder, after which new names are numbered.
CREATE TABLE collections (
    collection_id INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

INSERT INTO collections (collection_id, name) VALUES
    (1, 'clients'), (2, 'crypto'), (3, 'forms'), (4, 'history'), (5, 'keys'), (6, 'meta'), (7, 'bookmarks'),
    (8, 'prefs'), (9, 'tabs'), (10, 'passwords'), (11, 'addons'), (12, 'addresses'), (13, 'creditcards'), (100, '');

-- A collection of a user is there exactly when it has a row here. `count` and `total_bytes` are those of its rows in
-- `bsos`, expired ones included.
CREATE TABLE user_collections (
    user_id INTEGER NOT NULL,
    collection_id INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    count INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL,
    PRIMARY KEY (user_id, collection_id)
) WITHOUT ROWID;

-- `expiry` is null for a record that never expires; the record is absent from that time on.
-- The payload comes last, so that nothing has to be read past it.
CREATE TABLE bsos (
    row_id INTEGER NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL,
    collection_id INTEGER NOT NULL,
    id TEXT NOT NULL,
    modified INTEGER NOT NULL,
    sortindex INTEGER,
    expiry INTEGER,
    payload_size INTEGER NOT NULL,
    payload TEXT NOT NULL
);

CREATE UNIQUE INDEX bsos_id ON bsos (user_id, collection_id, id);
CREATE INDEX bsos_modified ON bsos (user_id, collection_id, modified, id);
-- No sortindex sorts below every sortindex that the protocol allows.
CREATE INDEX bsos_sortindex ON bsos (user_id, collection_id, ifnull(sortindex, -1000000000), id);
-- What has expired and is not purged yet, to be taken off the counters.
CREATE INDEX bsos_expiry ON bsos (user_id, expiry, collection_id, payload_size) WHERE expiry IS NOT NULL;

CREATE TABLE batches (
    batch_id INTEGER NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL,
    collection_id INTEGER NOT NULL,
    created INTEGER NOT NULL,
    records INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);

CREATE INDEX batches_user ON batches (user_id, collection_id);
CREATE INDEX batches_created ON batches (created);

-- `given` tells which fields the batch says something of: 1 sortindex, 2 ttl, 4 payload. A given null is a reset.
CREATE TABLE batch_bsos (
    row_id INTEGER NOT NULL PRIMARY KEY,
    batch_id INTEGER NOT NULL REFERENCES batches (batch_id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    given INTEGER NOT NULL,
    sortindex INTEGER,
    ttl INTEGER,
    payload_size INTEGER NOT NULL,
    payload TEXT
);

CREATE UNIQUE INDEX batch_bsos_id ON batch_bsos (batch_id, id);
