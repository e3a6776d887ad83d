DROP INDEX bsos_modified_idx;
CREATE INDEX bsos_modified_idx ON bsos (user_id, collection_id, modified DESC);
