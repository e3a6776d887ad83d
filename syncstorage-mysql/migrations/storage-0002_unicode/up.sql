-- What is ours, in a way that leaves the tables usable for syncstorage-rs: payloads of any Unicode, names and ids that
-- are compared byte for byte, and what a batch has to remember besides. Every statement may be run again, since MySQL
-- commits each by itself: what was cut in the middle is begun anew. Each ALTER copies its table once.

-- Its rows are locked to have the writes of one user follow each other. (A row that is not there cannot be locked by
-- SELECT … FOR UPDATE; this one is made first.)
CREATE TABLE IF NOT EXISTS syncserver_stores (
    userid BIGINT NOT NULL PRIMARY KEY
) ENGINE = InnoDB;

ALTER TABLE collections MODIFY name VARBINARY(32) NOT NULL;

-- The index has the order of the pages that are sorted by sortindex.
SET @alter_bso = IF(
    EXISTS (
        SELECT 1 FROM information_schema.statistics
        WHERE table_schema = DATABASE() AND table_name = 'bso' AND index_name = 'syncserver_sortindex_idx'
    ),
    'DO 0',
    'ALTER TABLE bso
        MODIFY id VARBINARY(64) NOT NULL,
        MODIFY payload MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
        ADD INDEX syncserver_sortindex_idx (userid, collection, sortindex)'
);
PREPARE alter_bso FROM @alter_bso;
EXECUTE alter_bso;
DEALLOCATE PREPARE alter_bso;

UPDATE bso SET payload_size = LENGTH(payload) WHERE payload_size = 0 AND LENGTH(payload) > 0;

-- `created` is the time when a batch of ours was opened, in ms; where it is null, `batch` is. The index finds the
-- batches of a user.
SET @alter_batch_uploads = IF(
    EXISTS (
        SELECT 1 FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'batch_uploads' AND column_name = 'created'
    ),
    'DO 0',
    'ALTER TABLE batch_uploads
        ADD COLUMN created BIGINT NULL,
        ADD INDEX syncserver_user_idx (userid, collection)'
);
PREPARE alter_batch_uploads FROM @alter_batch_uploads;
EXECUTE alter_batch_uploads;
DEALLOCATE PREPARE alter_batch_uploads;

-- `sortindex_reset` is 1 where the batch takes the sortindex away, which a null sortindex does not tell.
SET @alter_batch_upload_items = IF(
    EXISTS (
        SELECT 1 FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'batch_upload_items' AND column_name = 'sortindex_reset'
    ),
    'DO 0',
    'ALTER TABLE batch_upload_items
        MODIFY id VARBINARY(64) NOT NULL,
        MODIFY payload MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
        ADD COLUMN sortindex_reset TINYINT NULL'
);
PREPARE alter_batch_upload_items FROM @alter_batch_upload_items;
EXECUTE alter_batch_upload_items;
DEALLOCATE PREPARE alter_batch_upload_items;
