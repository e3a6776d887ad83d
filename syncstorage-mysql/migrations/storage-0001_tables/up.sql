-- The tables of every Sync 1.5 server on MySQL, as they are found at an existing deployment of syncstorage-rs. There,
-- all of this does nothing. Times are milliseconds since the epoch, sizes are bytes.

-- `ttl` is not a span but the time when the record expires. One that never does has `modified` + 2,100,000,000 s there.
CREATE TABLE IF NOT EXISTS bso (
    userid BIGINT NOT NULL,
    collection INT NOT NULL,
    id VARCHAR(64) NOT NULL,
    sortindex INT NULL,
    payload MEDIUMTEXT NOT NULL,
    payload_size INT NOT NULL DEFAULT 0,
    modified BIGINT NOT NULL,
    ttl BIGINT NOT NULL,
    PRIMARY KEY (userid, collection, id),
    KEY bso_expiry_idx (ttl),
    KEY bso_usr_col_mod_idx (userid, collection, modified)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

-- The names of collections, shared by all users.
CREATE TABLE IF NOT EXISTS collections (
    id INT NOT NULL AUTO_INCREMENT,
    name VARCHAR(32) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY name (name)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

-- The low numbers are those of every Sync server; number 100 is a placeholder, after which new names are numbered.
INSERT IGNORE INTO collections (id, name) VALUES
    (1, 'clients'), (2, 'crypto'), (3, 'forms'), (4, 'history'), (5, 'keys'), (6, 'meta'), (7, 'bookmarks'),
    (8, 'prefs'), (9, 'tabs'), (10, 'passwords'), (11, 'addons'), (12, 'addresses'), (13, 'creditcards'), (100, '');

-- A collection of a user is there exactly when it has a row here. Collection 0 is none: its row remembers when
-- something was last deleted, so that time never goes back for a client. The sums are kept where there is a quota.
CREATE TABLE IF NOT EXISTS user_collections (
    userid BIGINT NOT NULL,
    collection INT NOT NULL,
    last_modified BIGINT NOT NULL,
    total_bytes BIGINT NULL,
    count INT NULL,
    PRIMARY KEY (userid, collection)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

-- The open batches; `batch` is about the time when the batch was opened.
CREATE TABLE IF NOT EXISTS batch_uploads (
    batch BIGINT NOT NULL,
    userid BIGINT NOT NULL,
    collection INT NOT NULL,
    PRIMARY KEY (batch, userid)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

-- What they hold. A field that is null is one that the batch says nothing of.
CREATE TABLE IF NOT EXISTS batch_upload_items (
    batch BIGINT NOT NULL,
    userid BIGINT NOT NULL,
    id VARCHAR(64) NOT NULL,
    sortindex INT NULL,
    payload MEDIUMTEXT NULL,
    payload_size INT NULL,
    ttl_offset INT NULL,
    PRIMARY KEY (batch, userid, id)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;
