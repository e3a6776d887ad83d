-- Lists are ordered by (modified, bso_id), one way or the other. Thousands of records may have one time, as those of
-- one batch do; with the id in the index, a page begins in the middle of them without a look at those before it.
DROP INDEX IF EXISTS bsos_modified_idx;

-- A client knows a time to the hundredth of a second, and asks for what comes after it: so every time has to be such
-- a one in the tables as well. Those that servers write are; others would be seen again and again.
UPDATE bsos
    SET modified = modified - extract(microseconds FROM modified)::bigint % 10000 * interval '1 microsecond'
    WHERE extract(microseconds FROM modified)::bigint % 10000 <> 0;
UPDATE user_collections
    SET modified = modified - extract(microseconds FROM modified)::bigint % 10000 * interval '1 microsecond'
    WHERE extract(microseconds FROM modified)::bigint % 10000 <> 0;

CREATE INDEX bsos_modified_idx ON bsos (user_id, collection_id, modified DESC, bso_id DESC);
