CREATE TABLE __diesel_schema_migrations (
    version VARCHAR(50) NOT NULL PRIMARY KEY, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
INSERT INTO __diesel_schema_migrations (version) VALUES
    ('20180802170949'), ('20190109001735'), ('20240318133402'), ('20991231000000');
CREATE TABLE bso (
    userid BIGINT NOT NULL, collection INT NOT NULL, id VARCHAR(64) NOT NULL, sortindex INT NULL,
    payload MEDIUMTEXT NOT NULL, payload_size INT NOT NULL DEFAULT 0, modified BIGINT NOT NULL,
    ttl BIGINT NOT NULL,
    PRIMARY KEY (userid, collection, id), KEY bso_expiry_idx (ttl),
    KEY bso_usr_col_mod_idx (userid, collection, modified)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;
CREATE TABLE collections (
    id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(32) NOT NULL, UNIQUE KEY name (name)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;
INSERT INTO collections (id, name) VALUES
    (1, 'clients'), (2, 'crypto'), (3, 'forms'), (4, 'history'), (5, 'keys'), (6, 'meta'), (7, 'bookmarks'),
    (8, 'prefs'), (9, 'tabs'), (10, 'passwords'), (11, 'addons'), (12, 'addresses'), (13, 'creditcards'),
    (100, ''), (101, 'xxx_col2'), (117, 'extension-storage');
CREATE TABLE user_collections (
    userid BIGINT NOT NULL, collection INT NOT NULL, last_modified BIGINT NOT NULL, total_bytes BIGINT NULL,
    count INT NULL, PRIMARY KEY (userid, collection)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;
CREATE TABLE batch_uploads (
    batch BIGINT NOT NULL, userid BIGINT NOT NULL, collection INT NOT NULL, PRIMARY KEY (batch, userid)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;
CREATE TABLE batch_upload_items (
    batch BIGINT NOT NULL, userid BIGINT NOT NULL, id VARCHAR(64) NOT NULL, sortindex INT NULL,
    payload MEDIUMTEXT NULL, payload_size INT NULL, ttl_offset INT NULL, PRIMARY KEY (batch, userid, id)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;
