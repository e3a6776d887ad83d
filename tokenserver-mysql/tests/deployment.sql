CREATE TABLE __diesel_schema_migrations (
    version VARCHAR(50) NOT NULL PRIMARY KEY, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
INSERT INTO __diesel_schema_migrations (version) VALUES ('20210714142024'), ('20991231000000');
CREATE TABLE services (
    id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, service VARCHAR(30) NOT NULL, pattern VARCHAR(128) NOT NULL,
    UNIQUE KEY service (service)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;
INSERT INTO services VALUES (3, 'other-1.0', '{node}/1.0/{uid}'), (5, 'sync-1.5', '{node}/1.5/{uid}');
CREATE TABLE nodes (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, service INT NOT NULL, node VARCHAR(64) NOT NULL,
    available INT NOT NULL, current_load INT NOT NULL, capacity INT NOT NULL, downed INT NOT NULL,
    backoff INT NOT NULL, UNIQUE KEY service_node (service, node)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;
INSERT INTO nodes VALUES
    (10, 5, 'https://one.example', 5, 5, 10, 0, 0), (11, 5, 'https://two.example', 0, 7, 10, 1, 0);
CREATE TABLE users (
    uid BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, service INT NOT NULL, email VARCHAR(255) NOT NULL,
    generation BIGINT NOT NULL, client_state VARCHAR(32) NOT NULL, created_at BIGINT NOT NULL,
    replaced_at BIGINT NULL, nodeid BIGINT NOT NULL, keys_changed_at BIGINT NULL,
    KEY lookup_idx (email, service, created_at), KEY replaced_at_idx (service, replaced_at),
    KEY node_idx (nodeid)
) ENGINE = InnoDB DEFAULT CHARSET = latin1 AUTO_INCREMENT = 5000;
INSERT INTO users VALUES
    (41, 5, 'alice@accounts.example', 9, 'aa', 1600000000000, 1650000000000, 10, 4),
    (42, 5, 'alice@accounts.example', 10, 'bb', 1650000000000, NULL, 11, 5),
    (43, 5, 'gone@accounts.example', 9223372036854775807, 'aa', 1600000000000, 1650000000000, 10, 5),
    (44, 3, 'bob@accounts.example', 10, 'aa', 1600000000000, NULL, 10, 5);
