DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace
            AND proname IN ('syncserver_stage',
                'syncserver_delete_bso',
                'syncserver_delete',
                'syncserver_delete_bsos',
                'syncserver_delete_collections')
    LOOP
        EXECUTE 'DROP FUNCTION ' || v_function;
    END LOOP;
END
$$;
