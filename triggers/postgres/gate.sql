-- The gate of one table (and of each of its partitions). Two triggers: TRUNCATE fires no other kind.
-- ENABLE ALWAYS, so that session_replication_role does not pass it by. The name sorts before any other's.

-- statement: write
CREATE TRIGGER " slipway_gate" BEFORE INSERT OR UPDATE OR DELETE ON {{table}}
  FOR EACH STATEMENT EXECUTE FUNCTION slipway.gate({{id}});

-- statement: truncate
CREATE TRIGGER " slipway_gate_truncate" BEFORE TRUNCATE ON {{table}}
  FOR EACH STATEMENT EXECUTE FUNCTION slipway.gate({{id}});

-- statement: always
ALTER TABLE ONLY {{table}} ENABLE ALWAYS TRIGGER " slipway_gate", ENABLE ALWAYS TRIGGER " slipway_gate_truncate";
