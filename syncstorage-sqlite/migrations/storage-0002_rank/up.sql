-- The place in the order by sortindex. No sortindex sorts below every sortindex that the protocol allows. A column and
-- not an expression in the index: only of columns does SQLite make a range of both the place and the id, and most
-- records of a collection may have the same place. It is worked out when it is asked for, and takes no space in the row.
ALTER TABLE bsos ADD COLUMN rank INTEGER AS (ifnull(sortindex, -1000000000)) VIRTUAL;
DROP INDEX bsos_sortindex;
CREATE INDEX bsos_rank ON bsos (user_id, collection_id, rank, id);

-- Where a name is in use that some client made up; the purge removes those that are not.
CREATE INDEX user_collections_named ON user_collections (collection_id) WHERE collection_id > 100;
CREATE INDEX batches_named ON batches (collection_id) WHERE collection_id > 100;
