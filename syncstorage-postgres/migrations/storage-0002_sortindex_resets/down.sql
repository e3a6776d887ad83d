ALTER TABLE batch_bsos DROP COLUMN sortindex_reset;
