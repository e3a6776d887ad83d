-- The writes, one function for each: a request is one question to the database, and one transaction.
--
-- Each function first takes a lock on the user, so that writes of one user follow each other; an advisory one, since it
-- also has to hold where there is no row yet. (The constant keeps it apart from locks that others may take on small
-- numbers.) The functions are VOLATILE, and the isolation is READ COMMITTED: so every statement after the lock sees all
-- that was committed before the lock was had.
--
-- What they have in common:
--   p_now            the program's clock; p_tick: the same, rounded down to 10 ms
--   p_modified_since, p_unmodified_since
--                    the condition on the last-modified time of the resource; -infinity and infinity where there
--                    is none
--   p_quota          the user's bytes, null: not counted; p_enforce: whether a write that would pass it is refused
--   p_collection     the number of the collection's name, null: not known to the program; p_name: the name
--   outcome          0 done, 1 modified since, 2 not modified since, 3 no such record, 4 no such batch,
--                    5 the batch too large, 6 no time to write at yet, 7 over quota, 8 no such collection
--   stamp            0: the time of the write; 1, 2: the last-modified time of the resource; 6, 8: that of the store
--   collection       the number of the name, if it has one now
--   used             with a quota: the user's bytes after the write
-- No refusal writes anything.
--
-- Arrays of changes have an element for each record, in which null says nothing of the field: p_payloads ('' resets),
-- p_ttls in seconds (2,100,000,000 resets), p_sortindexes, and p_resets, true where the sortindex is to be reset.

-- The time of a write to a store that was last modified at p_last, null while it is too far ahead of the clock: the
-- rule that the program has as `next_write_time`.
CREATE OR REPLACE FUNCTION syncserver_write_time(p_last timestamptz, p_now timestamptz, p_tick timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN p_last IS NULL OR p_last < p_tick THEN p_tick
        WHEN p_last <= p_now + interval '2 seconds'
            AND p_last + interval '10 milliseconds' > p_now + interval '2 seconds'
            THEN NULL
        ELSE p_last + interval '10 milliseconds'
    END
$$;

-- The number of a name that had none. Of several first writers at once one makes it, and the others wait for that.
CREATE OR REPLACE FUNCTION syncserver_number(p_name text) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_number integer;
BEGIN
    INSERT INTO collections (name) VALUES (p_name) ON CONFLICT (name) DO NOTHING RETURNING collection_id INTO v_number;
    IF v_number IS NULL THEN
        SELECT collection_id INTO STRICT v_number FROM collections WHERE name = p_name;
    END IF;
    RETURN v_number;
END
$$;

-- What a batch holds (nothing, where p_batch is null) with changes on top of it, field by field.
CREATE OR REPLACE FUNCTION syncserver_changes(
    p_user bigint, p_collection integer, p_batch uuid,
    p_ids text[], p_sortindexes integer[], p_resets boolean[], p_payloads text[], p_ttls bigint[]
) RETURNS TABLE (bso_id text, sortindex integer, sortindex_reset boolean, payload text, ttl bigint)
LANGUAGE sql STABLE AS $$
    SELECT
        coalesce(n.bso_id, s.batch_bso_id),
        CASE WHEN n.sortindex IS NOT NULL OR n.sortindex_reset THEN n.sortindex ELSE s.sortindex END,
        n.sortindex_reset OR s.sortindex_reset,
        coalesce(n.payload, s.payload),
        coalesce(n.ttl, s.ttl)
    FROM unnest(p_ids, p_sortindexes, p_resets, p_payloads, p_ttls)
        AS n (bso_id, sortindex, sortindex_reset, payload, ttl)
    FULL JOIN (
        SELECT * FROM batch_bsos b WHERE b.user_id = p_user AND b.collection_id = p_collection AND b.batch_id = p_batch
    ) s ON s.batch_bso_id = n.bso_id
$$;

-- PUT.
CREATE OR REPLACE FUNCTION syncserver_put_bso(
    p_user bigint, p_now timestamptz, p_tick timestamptz, p_modified_since timestamptz, p_unmodified_since timestamptz,
    p_quota bigint, p_enforce boolean, p_collection integer, p_name text,
    p_id text, p_sortindex integer, p_reset boolean, p_payload text, p_ttl bigint,
    OUT outcome smallint, OUT stamp timestamptz, OUT collection integer, OUT used bigint
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_last timestamptz;
    v_modified timestamptz;
    v_sortindex integer;
    v_expiry timestamptz;
    v_size bigint;
    v_moves boolean := p_payload IS NOT NULL OR p_sortindex IS NOT NULL OR p_reset;
    v_is_live boolean := p_ttl IS NULL OR p_ttl > 0;
    v_growth bigint;
    v_count bigint;
    v_bytes bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(p_user # 6003408211923361792);
    collection := p_collection;
    IF collection IS NULL THEN
        SELECT collection_id INTO collection FROM collections WHERE name = p_name;
    END IF;
    SELECT max(modified) INTO v_last FROM user_collections WHERE user_id = p_user;
    -- A whole record without a condition is written over whatever is there.
    IF p_payload IS NULL OR p_quota IS NOT NULL OR p_unmodified_since < 'infinity' OR p_modified_since > '-infinity' THEN
        SELECT modified, sortindex, expiry, octet_length(payload) INTO v_modified, v_sortindex, v_expiry, v_size
            FROM bsos WHERE user_id = p_user AND collection_id = collection AND bso_id = p_id AND expiry > p_now;
    END IF;

    stamp := coalesce(v_modified, 'epoch');
    IF stamp > p_unmodified_since THEN
        outcome := 1; RETURN;
    ELSIF stamp <= p_modified_since THEN
        outcome := 2; RETURN;
    END IF;
    stamp := syncserver_write_time(v_last, p_now, p_tick);
    IF stamp IS NULL THEN
        outcome := 6; stamp := v_last; RETURN;
    END IF;
    IF p_quota IS NOT NULL THEN
        SELECT
            coalesce(sum(octet_length(payload)), 0),
            coalesce(sum(octet_length(payload)) FILTER (WHERE collection_id = collection), 0),
            count(*) FILTER (WHERE collection_id = collection)
            INTO used, v_bytes, v_count
            FROM bsos WHERE user_id = p_user AND expiry > p_now;
        v_growth := CASE WHEN v_is_live THEN coalesce(octet_length(p_payload), v_size, 0) ELSE 0 END
            - coalesce(v_size, 0);
        used := used + v_growth;
        IF p_enforce AND v_growth > 0 AND used > p_quota THEN
            outcome := 7; RETURN;
        END IF;
        v_bytes := v_bytes + v_growth;
        v_count := v_count + v_is_live::integer - (v_modified IS NOT NULL)::integer;
    END IF;

    IF collection IS NULL THEN
        collection := syncserver_number(p_name);
    END IF;
    outcome := 0;
    IF p_payload IS NULL AND v_modified IS NOT NULL THEN
        INSERT INTO user_collections (user_id, collection_id, modified, count, total_bytes)
            VALUES (p_user, collection, stamp, v_count, v_bytes)
            ON CONFLICT (user_id, collection_id) DO UPDATE
            SET modified = excluded.modified, count = excluded.count, total_bytes = excluded.total_bytes;
        UPDATE bsos
            SET sortindex = CASE WHEN p_sortindex IS NOT NULL OR p_reset THEN p_sortindex ELSE v_sortindex END,
                modified = CASE WHEN v_moves THEN stamp ELSE v_modified END,
                expiry = CASE
                    WHEN p_ttl < 2100000000 THEN least(stamp, p_now) + p_ttl * interval '1 second'
                    WHEN p_ttl IS NULL THEN v_expiry
                    ELSE stamp + 2100000000 * interval '1 second'
                END
            WHERE user_id = p_user AND collection_id = collection AND bso_id = p_id;
        RETURN;
    END IF;
    -- Over what was there, or over what has expired and is not purged yet: that leaves nothing behind. One statement costs
    -- less than two; the foreign key is looked at when both rows are there.
    WITH stamped AS (
        INSERT INTO user_collections (user_id, collection_id, modified, count, total_bytes)
            VALUES (p_user, collection, stamp, v_count, v_bytes)
            ON CONFLICT (user_id, collection_id) DO UPDATE
            SET modified = excluded.modified, count = excluded.count, total_bytes = excluded.total_bytes
    )
    INSERT INTO bsos AS old (user_id, collection_id, bso_id, sortindex, payload, modified, expiry)
        VALUES (
            p_user, collection, p_id, p_sortindex, coalesce(p_payload, ''), stamp,
            CASE
                WHEN p_ttl < 2100000000 THEN least(stamp, p_now) + p_ttl * interval '1 second'
                ELSE stamp + 2100000000 * interval '1 second'
            END
        )
        ON CONFLICT (user_id, collection_id, bso_id) DO UPDATE
        SET sortindex = CASE
                WHEN p_sortindex IS NULL AND NOT p_reset AND old.expiry > p_now THEN old.sortindex
                ELSE excluded.sortindex
            END,
            payload = excluded.payload,
            modified = excluded.modified,
            expiry = CASE WHEN p_ttl IS NULL AND old.expiry > p_now THEN old.expiry ELSE excluded.expiry END;
END
$$;

-- POST, and with p_batch the commit of a batch. p_max_records and p_max_bytes: what a batch may hold.
CREATE OR REPLACE FUNCTION syncserver_post_bsos(
    p_user bigint, p_now timestamptz, p_tick timestamptz, p_modified_since timestamptz, p_unmodified_since timestamptz,
    p_quota bigint, p_enforce boolean, p_collection integer, p_name text,
    p_ids text[], p_sortindexes integer[], p_resets boolean[], p_payloads text[], p_ttls bigint[],
    p_batch uuid, p_max_records bigint, p_max_bytes bigint,
    OUT outcome smallint, OUT stamp timestamptz, OUT collection integer, OUT used bigint
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_last timestamptz;
    v_modified timestamptz;
    v_records bigint;
    v_growth bigint;
    v_count_growth bigint;
    v_count bigint;
    v_bytes bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(p_user # 6003408211923361792);
    collection := p_collection;
    IF collection IS NULL THEN
        SELECT collection_id INTO collection FROM collections WHERE name = p_name;
    END IF;
    SELECT max(modified), greatest('epoch', max(modified) FILTER (WHERE collection_id = collection))
        INTO v_last, v_modified
        FROM user_collections WHERE user_id = p_user;
    IF v_modified > p_unmodified_since THEN
        outcome := 1; stamp := v_modified; RETURN;
    ELSIF v_modified <= p_modified_since THEN
        outcome := 2; stamp := v_modified; RETURN;
    END IF;
    IF p_batch IS NOT NULL THEN
        PERFORM FROM batches
            WHERE user_id = p_user AND collection_id = collection AND batch_id = p_batch AND expiry >= p_now;
        IF NOT FOUND THEN
            outcome := 4; RETURN;
        END IF;
        SELECT count(*), coalesce(sum(octet_length(payload)), 0) INTO v_records, v_bytes
            FROM syncserver_changes(
                p_user, collection, p_batch, p_ids, p_sortindexes, p_resets, p_payloads, p_ttls
            );
        IF v_records > p_max_records OR v_bytes > p_max_bytes THEN
            outcome := 5; RETURN;
        END IF;
    END IF;
    stamp := syncserver_write_time(v_last, p_now, p_tick);
    IF stamp IS NULL THEN
        outcome := 6; stamp := v_last; RETURN;
    END IF;
    IF p_quota IS NULL THEN
        v_bytes := NULL;
    ELSE
        SELECT
            coalesce(sum(octet_length(payload)), 0),
            coalesce(sum(octet_length(payload)) FILTER (WHERE collection_id = collection), 0),
            count(*) FILTER (WHERE collection_id = collection)
            INTO used, v_bytes, v_count
            FROM bsos WHERE user_id = p_user AND expiry > p_now;
        -- A ttl of zero makes a record that is absent at once.
        SELECT
            coalesce(sum(
                CASE WHEN n.ttl = 0 THEN 0 ELSE coalesce(octet_length(n.payload), old.size, 0) END
                    - coalesce(old.size, 0)
            ), 0),
            count(*) FILTER (WHERE n.ttl IS NULL OR n.ttl > 0) - count(old.size)
            INTO v_growth, v_count_growth
            FROM syncserver_changes(
                p_user, collection, p_batch, p_ids, p_sortindexes, p_resets, p_payloads, p_ttls
            ) n
            LEFT JOIN LATERAL (
                SELECT octet_length(b.payload) AS size FROM bsos b
                WHERE b.user_id = p_user AND b.collection_id = collection AND b.bso_id = n.bso_id AND b.expiry > p_now
                LIMIT 1
            ) old ON true;
        used := used + v_growth;
        IF p_enforce AND v_growth > 0 AND used > p_quota THEN
            outcome := 7; RETURN;
        END IF;
        v_bytes := v_bytes + v_growth;
        v_count := v_count + v_count_growth;
    END IF;

    IF collection IS NULL THEN
        collection := syncserver_number(p_name);
    END IF;
    IF p_batch IS NULL AND p_quota IS NULL AND array_position(p_payloads, NULL) IS NULL
        AND array_position(p_resets, true) IS NULL AND array_position(p_ttls, 2100000000::bigint) IS NULL
    THEN
        -- Whole records, as nearly all are: no look at what was there. No ttl is told from a given one by the end that it
        -- leads to, which no given one reaches.
        WITH stamped AS (
            INSERT INTO user_collections (user_id, collection_id, modified)
                VALUES (p_user, collection, stamp)
                ON CONFLICT (user_id, collection_id) DO UPDATE
                SET modified = excluded.modified, count = NULL, total_bytes = NULL
        )
        INSERT INTO bsos AS old (user_id, collection_id, bso_id, sortindex, payload, modified, expiry)
            SELECT
                p_user, collection, n.bso_id, n.sortindex, n.payload, stamp,
                CASE
                    WHEN n.ttl IS NULL THEN stamp + 2100000000 * interval '1 second'
                    ELSE least(stamp, p_now) + n.ttl * interval '1 second'
                END
            FROM unnest(p_ids, p_sortindexes, p_payloads, p_ttls) AS n (bso_id, sortindex, payload, ttl)
            ON CONFLICT (user_id, collection_id, bso_id) DO UPDATE
            SET sortindex = CASE
                    WHEN excluded.sortindex IS NULL AND old.expiry > p_now THEN old.sortindex
                    ELSE excluded.sortindex
                END,
                payload = excluded.payload,
                modified = excluded.modified,
                expiry = CASE
                    WHEN excluded.expiry = stamp + 2100000000 * interval '1 second' AND old.expiry > p_now
                        THEN old.expiry
                    ELSE excluded.expiry
                END;
        outcome := 0;
        RETURN;
    END IF;
    INSERT INTO user_collections AS c (user_id, collection_id, modified, count, total_bytes)
        VALUES (p_user, collection, stamp, v_count, v_bytes)
        ON CONFLICT (user_id, collection_id) DO UPDATE
        SET modified = excluded.modified, count = excluded.count, total_bytes = excluded.total_bytes;
    -- A record that has expired is written anew. LIMIT has each record looked up by itself, however large the
    -- collection is thought to be.
    INSERT INTO bsos (user_id, collection_id, bso_id, sortindex, payload, modified, expiry)
        SELECT
            p_user, collection, n.bso_id,
            CASE WHEN n.sortindex IS NOT NULL OR n.sortindex_reset THEN n.sortindex ELSE old.sortindex END,
            coalesce(n.payload, old.payload, ''),
            CASE
                WHEN old.modified IS NULL OR p_batch IS NOT NULL OR n.payload IS NOT NULL OR n.sortindex IS NOT NULL
                    OR n.sortindex_reset
                    THEN stamp
                ELSE old.modified
            END,
            CASE
                WHEN n.ttl < 2100000000 THEN least(stamp, p_now) + n.ttl * interval '1 second'
                WHEN n.ttl IS NULL AND old.modified IS NOT NULL THEN old.expiry
                ELSE stamp + 2100000000 * interval '1 second'
            END
        FROM syncserver_changes(
            p_user, collection, p_batch, p_ids, p_sortindexes, p_resets, p_payloads, p_ttls
        ) n
        LEFT JOIN LATERAL (
            SELECT b.modified, b.sortindex, b.payload, b.expiry FROM bsos b
            WHERE b.user_id = p_user AND b.collection_id = collection AND b.bso_id = n.bso_id AND b.expiry > p_now
            LIMIT 1
        ) old ON true
        ON CONFLICT (user_id, collection_id, bso_id) DO UPDATE
        SET sortindex = excluded.sortindex, payload = excluded.payload, modified = excluded.modified,
            expiry = excluded.expiry;
    IF p_batch IS NOT NULL THEN
        DELETE FROM batches WHERE user_id = p_user AND collection_id = collection AND batch_id = p_batch;
    END IF;
    outcome := 0;
END
$$;
