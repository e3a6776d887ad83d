-- More functions, to the same rules and with the same names of arguments and outcomes as those of storage-0005.

-- Opens a batch, or adds to one. `batch`: its id.
CREATE OR REPLACE FUNCTION syncserver_stage(
    p_user bigint, p_now timestamptz, p_expiry timestamptz, p_modified_since timestamptz,
    p_unmodified_since timestamptz,
    p_collection integer, p_name text,
    p_ids text[], p_sortindexes integer[], p_resets boolean[], p_payloads text[], p_ttls bigint[],
    p_batch uuid, p_max_records bigint, p_max_bytes bigint,
    OUT outcome smallint, OUT stamp timestamptz, OUT collection integer, OUT batch uuid
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_records bigint;
    v_bytes bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(p_user # 6003408211923361792);
    collection := p_collection;
    IF collection IS NULL THEN
        SELECT collection_id INTO collection FROM collections WHERE name = p_name;
    END IF;
    SELECT greatest('epoch', max(modified)) INTO stamp
        FROM user_collections WHERE user_id = p_user AND collection_id = collection;
    IF stamp > p_unmodified_since THEN
        outcome := 1; RETURN;
    ELSIF stamp <= p_modified_since THEN
        outcome := 2; RETURN;
    END IF;
    IF p_batch IS NOT NULL THEN
        SELECT batch_id INTO batch FROM batches
            WHERE user_id = p_user AND collection_id = collection AND batch_id = p_batch AND expiry >= p_now;
        IF batch IS NULL THEN
            outcome := 4; RETURN;
        END IF;
    END IF;
    SELECT count(*), coalesce(sum(octet_length(payload)), 0) INTO v_records, v_bytes
        FROM syncserver_changes(p_user, collection, p_batch, p_ids, p_sortindexes, p_resets, p_payloads, p_ttls);
    IF v_records > p_max_records OR v_bytes > p_max_bytes THEN
        outcome := 5; RETURN;
    END IF;

    IF batch IS NULL THEN
        IF collection IS NULL THEN
            collection := syncserver_number(p_name);
        END IF;
        INSERT INTO user_collections (user_id, collection_id, modified)
            VALUES (p_user, collection, '0001-01-01 00:00:00+00')
            ON CONFLICT (user_id, collection_id) DO NOTHING;
        -- gen_random_uuid() is not in Postgres 12.
        batch := md5(random()::text || p_user::text || clock_timestamp()::text || random()::text)::uuid;
        INSERT INTO batches (user_id, collection_id, batch_id, expiry) VALUES (p_user, collection, batch, p_expiry);
    END IF;
    INSERT INTO batch_bsos AS s (
            user_id, collection_id, batch_id, batch_bso_id, sortindex, sortindex_reset, payload, ttl
        )
        SELECT p_user, collection, batch, n.bso_id, n.sortindex, n.sortindex_reset, n.payload, n.ttl
        FROM unnest(p_ids, p_sortindexes, p_resets, p_payloads, p_ttls)
            AS n (bso_id, sortindex, sortindex_reset, payload, ttl)
        ON CONFLICT (user_id, collection_id, batch_id, batch_bso_id) DO UPDATE
        SET sortindex = CASE
                WHEN excluded.sortindex IS NOT NULL OR excluded.sortindex_reset THEN excluded.sortindex
                ELSE s.sortindex
            END,
            sortindex_reset = excluded.sortindex_reset OR s.sortindex_reset,
            payload = coalesce(excluded.payload, s.payload),
            ttl = coalesce(excluded.ttl, s.ttl);
    outcome := 0;
END
$$;

-- Deletes one record.
CREATE OR REPLACE FUNCTION syncserver_delete_bso(
    p_user bigint, p_now timestamptz, p_tick timestamptz, p_modified_since timestamptz, p_unmodified_since timestamptz,
    p_quota bigint, p_enforce boolean, p_collection integer, p_name text, p_id text,
    OUT outcome smallint, OUT stamp timestamptz, OUT collection integer, OUT used bigint
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_resource timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(p_user # 6003408211923361792);
    collection := p_collection;
    IF collection IS NULL THEN
        SELECT collection_id INTO collection FROM collections WHERE name = p_name;
    END IF;
    SELECT modified INTO v_resource
        FROM bsos WHERE user_id = p_user AND collection_id = collection AND bso_id = p_id AND expiry > p_now;
    IF v_resource IS NULL THEN
        outcome := 3; RETURN;
    ELSIF v_resource > p_unmodified_since THEN
        outcome := 1; stamp := v_resource; RETURN;
    ELSIF v_resource <= p_modified_since THEN
        outcome := 2; stamp := v_resource; RETURN;
    END IF;
    SELECT d.outcome, d.stamp, d.used INTO outcome, stamp, used
        FROM syncserver_delete(p_user, p_now, p_tick, p_quota, collection, ARRAY[p_id]) d;
END
$$;

-- Deletes records of a collection that is there. The collection gets the time of the write.
CREATE OR REPLACE FUNCTION syncserver_delete(
    p_user bigint, p_now timestamptz, p_tick timestamptz, p_quota bigint, p_collection integer, p_ids text[],
    OUT outcome smallint, OUT stamp timestamptz, OUT used bigint
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_last timestamptz;
    v_count bigint;
    v_bytes bigint;
BEGIN
    SELECT max(modified) INTO v_last FROM user_collections WHERE user_id = p_user;
    stamp := syncserver_write_time(v_last, p_now, p_tick);
    IF stamp IS NULL THEN
        outcome := 6; stamp := v_last; RETURN;
    END IF;
    DELETE FROM bsos WHERE user_id = p_user AND collection_id = p_collection AND bso_id = ANY (p_ids);
    IF p_quota IS NOT NULL THEN
        SELECT
            coalesce(sum(octet_length(payload)), 0),
            coalesce(sum(octet_length(payload)) FILTER (WHERE collection_id = p_collection), 0),
            count(*) FILTER (WHERE collection_id = p_collection)
            INTO used, v_bytes, v_count
            FROM bsos WHERE user_id = p_user AND expiry > p_now;
    END IF;
    UPDATE user_collections SET modified = stamp, count = v_count, total_bytes = v_bytes
        WHERE user_id = p_user AND collection_id = p_collection;
    outcome := 0;
END
$$;

-- Deletes the records that are there of a list.
CREATE OR REPLACE FUNCTION syncserver_delete_bsos(
    p_user bigint, p_now timestamptz, p_tick timestamptz, p_modified_since timestamptz, p_unmodified_since timestamptz,
    p_quota bigint, p_enforce boolean, p_collection integer, p_name text, p_ids text[],
    OUT outcome smallint, OUT stamp timestamptz, OUT collection integer, OUT used bigint
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_last timestamptz;
    v_modified timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(p_user # 6003408211923361792);
    collection := p_collection;
    IF collection IS NULL THEN
        SELECT collection_id INTO collection FROM collections WHERE name = p_name;
    END IF;
    SELECT greatest('epoch', max(modified)), greatest('epoch', max(modified) FILTER (WHERE collection_id = collection))
        INTO v_last, v_modified
        FROM user_collections WHERE user_id = p_user;
    IF v_modified > p_unmodified_since THEN
        outcome := 1; stamp := v_modified; RETURN;
    ELSIF v_modified <= p_modified_since THEN
        outcome := 2; stamp := v_modified; RETURN;
    ELSIF v_modified = 'epoch' THEN
        outcome := 8; stamp := v_last; RETURN;
    END IF;
    SELECT d.outcome, d.stamp, d.used INTO outcome, stamp, used
        FROM syncserver_delete(p_user, p_now, p_tick, p_quota, collection, p_ids) d;
END
$$;

-- Deletes a collection, or with neither p_collection nor p_name the whole store, with all records and batches in it.
-- The tombstone keeps the store's time.
CREATE OR REPLACE FUNCTION syncserver_delete_collections(
    p_user bigint, p_now timestamptz, p_tick timestamptz, p_modified_since timestamptz, p_unmodified_since timestamptz,
    p_quota bigint, p_enforce boolean, p_collection integer, p_name text,
    OUT outcome smallint, OUT stamp timestamptz, OUT collection integer, OUT used bigint
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_is_store boolean := p_collection IS NULL AND p_name IS NULL;
    v_last timestamptz;
    v_modified timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(p_user # 6003408211923361792);
    collection := p_collection;
    IF collection IS NULL AND NOT v_is_store THEN
        SELECT collection_id INTO collection FROM collections WHERE name = p_name;
    END IF;
    SELECT max(modified), greatest('epoch', max(modified) FILTER (WHERE v_is_store OR collection_id = collection))
        INTO v_last, v_modified
        FROM user_collections WHERE user_id = p_user;
    IF v_modified > p_unmodified_since THEN
        outcome := 1; stamp := v_modified; RETURN;
    ELSIF v_modified <= p_modified_since THEN
        outcome := 2; stamp := v_modified; RETURN;
    ELSIF v_modified = 'epoch' AND NOT v_is_store THEN
        -- Batches of a collection that is yet to come: its client does not want them any more.
        DELETE FROM user_collections WHERE user_id = p_user AND collection_id = collection;
        outcome := 8; stamp := greatest('epoch', v_last); RETURN;
    END IF;
    stamp := syncserver_write_time(v_last, p_now, p_tick);
    IF stamp IS NULL THEN
        outcome := 6; stamp := v_last; RETURN;
    END IF;
    -- Records and batches follow by their foreign keys.
    DELETE FROM user_collections
        WHERE user_id = p_user AND CASE WHEN v_is_store THEN collection_id <> 0 ELSE collection_id = collection END;
    INSERT INTO user_collections (user_id, collection_id, modified) VALUES (p_user, 0, stamp)
        ON CONFLICT (user_id, collection_id) DO UPDATE SET modified = excluded.modified;
    IF p_quota IS NOT NULL THEN
        SELECT coalesce(sum(octet_length(payload)), 0) INTO used FROM bsos WHERE user_id = p_user AND expiry > p_now;
    END IF;
    outcome := 0;
END
$$;
