-- Capture of one table on PostgreSQL: it logs keys, and the transaction that changed them. Rows are read late.
--
-- A function per table, since one that looks keys up by name costs twice as much a row. SECURITY DEFINER, so that an
-- application role needs no right on schema slipway; the search_path is fixed. Settings of the session that would spell
-- a key in another way are either fixed as well ({{settings}}) or avoided by the expressions.

-- statement: function
CREATE FUNCTION {{function}}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp {{settings}} AS $capture$
DECLARE
  pass text := current_setting('slipway.pass', true);
BEGIN
  -- What slipway itself writes must not come back. The secret is looked up only where somebody claims to know it.
  IF pass <> '' THEN
    IF EXISTS (SELECT 1 FROM slipway.control c WHERE c.id = {{id}} AND c.secret = pass) THEN
      RETURN NULL;
    END IF;
  END IF;
  IF TG_OP = 'INSERT' THEN
    INSERT INTO slipway.changelog (migration, tbl, op, key) VALUES ({{id}}, {{name}}, 'I', {{new}});
  ELSIF TG_OP = 'UPDATE' THEN
    -- Another key is another row: the old one is gone (trap C6).
    IF {{moved}} THEN
      INSERT INTO slipway.changelog (migration, tbl, op, key) VALUES ({{id}}, {{name}}, 'D', {{old}});
    END IF;
    INSERT INTO slipway.changelog (migration, tbl, op, key) VALUES ({{id}}, {{name}}, 'U', {{new}});
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO slipway.changelog (migration, tbl, op, key) VALUES ({{id}}, {{name}}, 'D', {{old}});
  ELSE
    -- TRUNCATE names no row: the table is compared whole (trap P9).
    INSERT INTO slipway.changelog (migration, tbl, op) VALUES ({{id}}, {{name}}, 'T');
  END IF;
  RETURN NULL;
END
$capture$;

-- statement: private
REVOKE ALL ON FUNCTION {{function}}() FROM PUBLIC;

-- statement: row
CREATE TRIGGER " slipway_capture" AFTER INSERT OR UPDATE OR DELETE ON {{table}}
  FOR EACH ROW EXECUTE FUNCTION {{function}}();

-- TRUNCATE fires no row trigger, and of a partition only the partition's own.
-- statement: truncate
CREATE TRIGGER " slipway_capture_truncate" AFTER TRUNCATE ON {{table}}
  FOR EACH STATEMENT EXECUTE FUNCTION {{function}}();

-- Wakes the reader, and only where it waits: a NOTIFY makes commits wait for each other. A transaction that has sent
-- one cannot be prepared (trap H17), so where that is possible the reader polls.
-- statement: ring
CREATE OR REPLACE FUNCTION {{ring}}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $ring$
DECLARE
  waiting bigint;
BEGIN
  SELECT last_value INTO waiting FROM {{bell}};
  IF waiting = 2 AND current_setting('max_prepared_transactions') = '0' THEN
    PERFORM pg_notify({{channel}}, '');
  END IF;
  RETURN NULL;
END
$ring$;

-- statement: private_ring
REVOKE ALL ON FUNCTION {{ring}}() FROM PUBLIC;

-- statement: wake
CREATE TRIGGER " slipway_capture_wake" AFTER INSERT OR UPDATE OR DELETE ON {{table}}
  FOR EACH STATEMENT EXECUTE FUNCTION {{ring}}();
