-- The tables that every tokenserver has, with exactly these columns in this order: other programs read them. At an
-- existing deployment, all of this does nothing. No foreign keys, so that a node can be removed before its users
-- are moved.

CREATE TABLE IF NOT EXISTS services (
    id INT NOT NULL AUTO_INCREMENT,
    service VARCHAR(30) NOT NULL,
    pattern VARCHAR(128) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY service (service)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

INSERT INTO services (service, pattern)
SELECT 'sync-1.5', '{node}/1.5/{uid}' FROM DUAL
WHERE NOT EXISTS (SELECT 1 FROM services WHERE service = 'sync-1.5');

-- A node that is added gets no id that some user's row still names.
CREATE TABLE IF NOT EXISTS nodes (
    id BIGINT NOT NULL AUTO_INCREMENT,
    service INT NOT NULL,
    node VARCHAR(64) NOT NULL,
    available INT NOT NULL,
    current_load INT NOT NULL,
    capacity INT NOT NULL,
    downed INT NOT NULL,
    backoff INT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY service_node (service, node)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

-- A uid is never used again, since storage may still lie under it: InnoDB keeps the counter through restarts.
CREATE TABLE IF NOT EXISTS users (
    uid BIGINT NOT NULL AUTO_INCREMENT,
    service INT NOT NULL,
    email VARCHAR(255) NOT NULL,
    generation BIGINT NOT NULL,
    client_state VARCHAR(32) NOT NULL,
    created_at BIGINT NOT NULL,
    replaced_at BIGINT NULL,
    nodeid BIGINT NOT NULL,
    keys_changed_at BIGINT NULL,
    PRIMARY KEY (uid),
    KEY lookup_idx (email, service, created_at),
    KEY replaced_at_idx (service, replaced_at),
    KEY node_idx (nodeid)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;
