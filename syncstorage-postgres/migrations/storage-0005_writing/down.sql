DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace
            AND proname IN ('syncserver_write_time',
                'syncserver_number',
                'syncserver_changes',
                'syncserver_put_bso',
                'syncserver_post_bsos')
    LOOP
        EXECUTE 'DROP FUNCTION ' || v_function;
    END LOOP;
END
$$;
