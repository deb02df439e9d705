-- The gate: judges every statement on a moved table, whoever sends it. SECURITY DEFINER, so that an application
-- role needs no right on schema slipway; the search_path is fixed, so that nobody can put a table in between.
--
-- The shared advisory lock lets a coordinator wait for writers in flight. The state is a sequence's value, which
-- is not subject to MVCC: a transaction whose snapshot is older than a closing of the gate sees it all the same,
-- while it still reads the old epoch from the control row, and is refused as well.
--
-- The value is (until << 20) | state. state: 2 × epoch closed, 2 × epoch + 1 open. until: milliseconds since 1970 at
-- which a pause of writes ends by itself, whatever process lives then; 0 where the gate is closed without an end.
CREATE OR REPLACE FUNCTION slipway.gate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gate$
DECLARE
  migration_id int := TG_ARGV[0]::int;
  known_epoch bigint;
  pass text;
  gate_value bigint;
  gate_state bigint;
  until_ms bigint;
  hint text;
BEGIN
  SELECT c.epoch, c.secret INTO known_epoch, pass FROM slipway.control c WHERE c.id = migration_id;
  -- The replicator's own transactions carry the secret in a transaction-local setting.
  IF pass = current_setting('slipway.pass', true) THEN
    RETURN NULL;
  END IF;
  PERFORM pg_advisory_xact_lock_shared(7514, migration_id);
  EXECUTE format('SELECT last_value FROM slipway.%I', 'gate_' || migration_id) INTO gate_value;
  gate_state := gate_value & 1048575;
  until_ms := gate_value >> 20;
  IF gate_state = 2 * known_epoch + 1
     OR (gate_state = 2 * known_epoch AND until_ms > 0
         AND until_ms <= extract(epoch FROM clock_timestamp()) * 1000) THEN
    RETURN NULL;
  END IF;
  -- For people only: what is read here decides nothing.
  SELECT CASE
      WHEN gate_state / 2 <> known_epoch
        THEN 'The authority changes, or has changed since this transaction began: begin it again.'
      WHEN until_ms > 0
        THEN format('Writes are paused until %s UTC (%s).',
                    to_char(to_timestamp(until_ms / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
                    coalesce((SELECT string_agg(reason, ', ') FROM jsonb_object_keys(c.pauses) reason), ''))
      WHEN c.phase = 'switching_over' THEN 'SQLite leads, and is being switched over: try again in a moment.'
      WHEN c.authority = 'sqlite' THEN 'SQLite leads: write there.'
      ELSE 'The authority over this table is being changed: try again in a moment.'
    END || ' Ask: slipway status'
    INTO hint FROM slipway.control c WHERE c.id = migration_id;
  RAISE EXCEPTION 'slipway: % does not accept writes here now', TG_TABLE_NAME
    USING ERRCODE = 'read_only_sql_transaction',
          HINT = coalesce(hint, 'The table belongs to a migration that is not known any more. Ask: slipway status');
END
$gate$;
REVOKE ALL ON FUNCTION slipway.gate() FROM PUBLIC;
