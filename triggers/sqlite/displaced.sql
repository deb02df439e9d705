-- Rows that a REPLACE deletes fire no DELETE trigger unless the connection set recursive_triggers. So the keys
-- that the new row would displace through this unique are logged before it comes. A key logged in vain is
-- harmless: the row is read late and found unchanged.

-- statement: insert
CREATE TRIGGER {{insert_name}} BEFORE INSERT ON {{table}} BEGIN
  INSERT INTO _slipway_changelog (tbl, op, at, nonce, {{key_columns}})
  SELECT {{table_literal}}, 'R', {{now}}, random(), {{row_key}} FROM {{table}} WHERE {{match}};
END;

-- statement: update
-- Only where a column of the unique changes, compared byte by byte: an update of other columns costs nothing.
CREATE TRIGGER {{update_name}} BEFORE UPDATE ON {{table}} WHEN {{changed}} BEGIN
  INSERT INTO _slipway_changelog (tbl, op, at, nonce, {{key_columns}})
  SELECT {{table_literal}}, 'R', {{now}}, random(), {{row_key}} FROM {{table}} WHERE {{match}};
END;
