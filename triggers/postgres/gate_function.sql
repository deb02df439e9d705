-- The gate: judges every statement on a moved table, whoever sends it. SECURITY DEFINER, so that an application
-- role needs no right on schema slipway; the search_path is fixed, so that nobody can put a table in between.
--
-- The shared advisory lock lets a coordinator wait for writers in flight. The state is a sequence's value, which
-- is not subject to MVCC: a transaction whose snapshot is older than a closing of the gate sees it all the same,
-- while it still reads the old epoch from the control row, and is refused as well.
CREATE OR REPLACE FUNCTION slipway.gate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gate$
DECLARE
  migration_id int := TG_ARGV[0]::int;
  open_value bigint;
  gate_value bigint;
  pass text;
BEGIN
  SELECT 2 * c.epoch + 1, c.secret INTO open_value, pass FROM slipway.control c WHERE c.id = migration_id;
  -- The replicator's own transactions carry the secret in a transaction-local setting.
  IF pass = current_setting('slipway.pass', true) THEN
    RETURN NULL;
  END IF;
  PERFORM pg_advisory_xact_lock_shared(7514, migration_id);
  EXECUTE format('SELECT last_value FROM slipway.%I', 'gate_' || migration_id) INTO gate_value;
  IF gate_value IS DISTINCT FROM open_value THEN
    RAISE EXCEPTION 'slipway: % does not accept writes here now', TG_TABLE_NAME
      USING ERRCODE = 'read_only_sql_transaction',
            HINT = 'SQLite has the authority over this table, or it is being switched. Ask: slipway status';
  END IF;
  RETURN NULL;
END
$gate$;
REVOKE ALL ON FUNCTION slipway.gate() FROM PUBLIC;
