-- The tables that every tokenserver has, with exactly these columns in this order: other programs read them. No foreign
-- keys, so that a node can be removed before its users are moved.

CREATE TABLE services (
    id INTEGER PRIMARY KEY,
    service TEXT NOT NULL UNIQUE,
    pattern TEXT NOT NULL
);

INSERT INTO services (service, pattern) VALUES ('sync-1.5', '{node}/1.5/{uid}');

-- AUTOINCREMENT: a node that is added gets no id that some user's row still names.
CREATE TABLE nodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    service INTEGER NOT NULL,
    node TEXT NOT NULL,
    available INTEGER NOT NULL,
    current_load INTEGER NOT NULL,
    capacity INTEGER NOT NULL,
    downed INTEGER NOT NULL,
    backoff INTEGER NOT NULL,
    UNIQUE (service, node)
);

-- AUTOINCREMENT: a uid is never used again, since storage may still lie under it.
CREATE TABLE users (
    uid INTEGER PRIMARY KEY AUTOINCREMENT,
    service INTEGER NOT NULL,
    email TEXT NOT NULL,
    generation INTEGER NOT NULL,
    client_state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    replaced_at INTEGER,
    nodeid INTEGER NOT NULL,
    keys_changed_at INTEGER
);

CREATE INDEX lookup_idx ON users (email, service, created_at);
CREATE INDEX replaced_at_idx ON users (service, replaced_at);
CREATE INDEX node_idx ON users (nodeid);
