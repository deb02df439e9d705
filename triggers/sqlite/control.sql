-- Slipway's notes in the source: which migration owns the file, what was installed, the journal mode before.
CREATE TABLE _slipway_control (
  name TEXT PRIMARY KEY,
  value TEXT
);
