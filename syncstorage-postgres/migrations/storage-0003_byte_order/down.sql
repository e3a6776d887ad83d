ALTER TABLE bsos ALTER COLUMN bso_id TYPE text;
ALTER TABLE batch_bsos ALTER COLUMN batch_bso_id TYPE text;
ALTER TABLE collections ALTER COLUMN name TYPE varchar(32);
