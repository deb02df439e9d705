-- The changelog: which row changed, in commit order. It holds keys, never row images: the rows are read late,
-- by slipway itself (docs/decisions/0001-keys-not-images.md).
-- The table has no unique besides seq, so that an outer INSERT OR IGNORE / OR REPLACE, whose conflict clause
-- SQLite carries into trigger bodies, has nothing to act on. No AUTOINCREMENT: it would leave sqlite_sequence
-- behind in a database that had none; the newest row is never pruned instead, so seq never starts again.
CREATE TABLE _slipway_changelog (
  seq INTEGER PRIMARY KEY, -- commit order: SQLite has one writer
  tbl TEXT NOT NULL,       -- table of the changed row
  op TEXT NOT NULL,        -- I insert, U update, D delete, R may be displaced by REPLACE, A anchor
  at INTEGER NOT NULL,     -- start of the statement, ms since 1970
  nonce INTEGER NOT NULL   -- tells this row from one that a restored file would number the same
  {{keys}}                 -- , k0 … kn: the key, untyped, so that every storage class stays as it is
);
