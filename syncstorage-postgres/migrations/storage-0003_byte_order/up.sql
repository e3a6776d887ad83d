-- Ids and names are ASCII, compared byte for byte, and pages are ordered by them: the language of the database is of no
-- use there, and slow. The tables are not written anew, their indexes are.
ALTER TABLE bsos ALTER COLUMN bso_id TYPE text COLLATE "C";
ALTER TABLE batch_bsos ALTER COLUMN batch_bso_id TYPE text COLLATE "C";
ALTER TABLE collections ALTER COLUMN name TYPE varchar(32) COLLATE "C";
