CREATE TABLE __diesel_schema_migrations (version varchar(50) PRIMARY KEY, run_on timestamp NOT NULL DEFAULT now());
INSERT INTO __diesel_schema_migrations (version) VALUES ('20210709000000'), ('99991231000000');
CREATE TABLE services (id serial PRIMARY KEY, service varchar(30) UNIQUE, pattern varchar(128));
CREATE TABLE nodes (
    id bigserial PRIMARY KEY, service integer NOT NULL, node varchar(64) NOT NULL, available integer NOT NULL,
    current_load integer NOT NULL, capacity integer NOT NULL, downed integer NOT NULL, backoff integer NOT NULL
);
CREATE UNIQUE INDEX unique_idx ON nodes (service, node);
CREATE TABLE users (
    uid bigserial PRIMARY KEY, service integer NOT NULL, email varchar(255) NOT NULL, generation bigint NOT NULL,
    client_state varchar(32) NOT NULL, created_at bigint NOT NULL, replaced_at bigint, nodeid bigint NOT NULL,
    keys_changed_at bigint
);
CREATE INDEX lookup_idx ON users (email, service, created_at);
CREATE INDEX replaced_at_idx ON users (service, replaced_at);
CREATE INDEX node_idx ON users (nodeid);
INSERT INTO services (id, service, pattern) VALUES (7, 'sync-1.5', '{node}/1.5/{uid}');
INSERT INTO nodes VALUES (3, 7, 'https://n3', 9, 1, 10, 0, 0), (4, 7, 'https://n4', 10, 0, 10, 1, 0);
SELECT setval('nodes_id_seq', 4);
INSERT INTO users VALUES
    (11, 7, 'a@x', 5, 'aa', 1000, 2000, 3, NULL), (12, 7, 'a@x', 6, 'bb', 2000, NULL, 3, 6),
    (13, 7, 'B@x', 0, '', 3000, NULL, 3, NULL);
SELECT setval('users_uid_seq', 13);
