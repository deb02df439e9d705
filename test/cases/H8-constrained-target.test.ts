import { test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Replay on a target with its own uniques and foreign keys: swaps of unique values, children before parents,
// parents whose delete would cascade, and triggers that would overwrite values (P1, H9).

test('swaps, cascades and triggers of the target', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT UNIQUE)',
      'CREATE TABLE c (id INTEGER PRIMARY KEY, p_id INTEGER REFERENCES p (id) ON DELETE CASCADE, rank INTEGER UNIQUE, note TEXT)',
      `INSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, 'c')`,
      `INSERT INTO c VALUES (1, 1, 1, 'x'), (2, 2, 2, 'y'), (3, 3, 3, 'z'), (4, 77, 4, 'orphan')`,
    ],
    target: `
      CREATE TABLE p (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
      CREATE TABLE c (id bigint PRIMARY KEY, p_id bigint REFERENCES p (id) ON DELETE CASCADE, rank bigint UNIQUE, note text);
      CREATE FUNCTION overwrite() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'overwritten'; RETURN NEW; END $$;
      CREATE TRIGGER c_overwrite BEFORE INSERT OR UPDATE ON c FOR EACH ROW EXECUTE FUNCTION overwrite();
    `,
  })
  await scenario.write(
    [
      'BEGIN',
      `UPDATE p SET name = 'tmp' WHERE id = 1`,
      `UPDATE p SET name = 'a' WHERE id = 2`,
      `UPDATE p SET name = 'b' WHERE id = 1`,
      'COMMIT',
      // The whole column turned round, in one statement of the batch.
      'UPDATE c SET rank = -rank',
      'UPDATE c SET rank = 5 + rank',
      'BEGIN',
      `INSERT INTO c VALUES (10, 50, 10, 'child first')`,
      `INSERT INTO p VALUES (50, 'parent second')`,
      'COMMIT',
      // Without foreign keys this leaves an orphan, which the target must keep.
      'DELETE FROM p WHERE id = 3',
      `REPLACE INTO p VALUES (99, 'a')`,
      `UPDATE p SET id = 60 WHERE id = 50`,
    ],
    { pragmas: { foreign_keys: 0 } },
  )
  await scenario.equalAtLagZero()
})
