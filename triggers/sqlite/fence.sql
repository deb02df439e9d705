-- The fence of one table: refuses application writes while slipway's notes say so. Only SQL that SQLite 3.31 and older
-- understand: it runs in the application's own build.
-- `fence` stands while another engine leads or nobody knows yet, `pause` until a time that a person named (ms since
-- 1970): the trigger judges it, so a pause ends by itself whatever process lives.
-- Never RAISE: it is a constraint error, which applications swallow as "duplicate" (trap H26). A JSON path that is
-- none is a plain SQLITE_ERROR which carries the text, whatever conflict clause the statement has. The text is read
-- from the notes: a constant would be computed before the condition is. A build without JSON refuses as well, and so
-- does one older than 3.41 with trusted_schema=OFF: by other words, and until the triggers are taken away.

-- statement: fence
CREATE TRIGGER {{name}} BEFORE {{event}} ON {{table}}
WHEN EXISTS (
  SELECT 1 FROM _slipway_control WHERE name IN ('fence', 'pause') AND CAST(value AS INTEGER) > {{now}}
)
BEGIN
  SELECT json_extract('{}', (
    SELECT coalesce(max(value), 'slipway: writes are closed here') FROM _slipway_control WHERE name = (
      SELECT name || '_text' FROM _slipway_control
      WHERE name IN ('fence', 'pause') AND CAST(value AS INTEGER) > {{now}} ORDER BY name LIMIT 1
    )
  ));
END;
