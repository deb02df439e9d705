-- Capture of one table. Only SQL that SQLite 3.31 and older understand: these run in the application's own build.
-- Nothing here can fail by itself, and nothing writes to a table of the application.

-- statement: insert
-- After, not before: a rowid that the application left out is known only then.
CREATE TRIGGER {{insert_name}} AFTER INSERT ON {{table}} BEGIN
  INSERT INTO _slipway_changelog (tbl, op, at, nonce, {{key_columns}})
  VALUES ({{table_literal}}, 'I', {{now}}, random(), {{new_key}});
END;

-- statement: update
-- A changed key is two changes: the old key goes, the new one comes.
CREATE TRIGGER {{update_name}} AFTER UPDATE ON {{table}} BEGIN
  INSERT INTO _slipway_changelog (tbl, op, at, nonce, {{key_columns}})
  SELECT {{table_literal}}, 'D', {{now}}, random(), {{old_key}} WHERE {{key_changed}};
  INSERT INTO _slipway_changelog (tbl, op, at, nonce, {{key_columns}})
  VALUES ({{table_literal}}, 'U', {{now}}, random(), {{new_key}});
END;

-- statement: delete
CREATE TRIGGER {{delete_name}} AFTER DELETE ON {{table}} BEGIN
  INSERT INTO _slipway_changelog (tbl, op, at, nonce, {{key_columns}})
  VALUES ({{table_literal}}, 'D', {{now}}, random(), {{old_key}});
END;
