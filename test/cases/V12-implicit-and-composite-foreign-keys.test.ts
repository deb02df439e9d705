import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// The list of foreign keys tells no parent columns where the schema leaves them out, and has a row for each column of
// a composite one. A parent that is not unique, or of other values, is impossible in PostgreSQL (V23).

test('each foreign key is one, to the right columns; what cannot be is named', {
  timeout: 60_000,
}, async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE p (a INTEGER, b TEXT, u TEXT UNIQUE, loose TEXT, fold TEXT COLLATE NOCASE UNIQUE, PRIMARY KEY (a, b))',
      'CREATE UNIQUE INDEX some ON p (loose) WHERE a > 0',
      'CREATE TABLE away (id INTEGER PRIMARY KEY)',
      `CREATE TABLE c (id INTEGER PRIMARY KEY, x INTEGER, y TEXT, z TEXT, l TEXT, f TEXT, w INTEGER, n INTEGER,
         CONSTRAINT whole FOREIGN KEY (x, y) REFERENCES p ON DELETE CASCADE ON UPDATE SET NULL,
         FOREIGN KEY (z) REFERENCES p (u), FOREIGN KEY (z) REFERENCES P (U) ON DELETE RESTRICT,
         FOREIGN KEY (l) REFERENCES p (loose), FOREIGN KEY (f) REFERENCES p (fold),
         FOREIGN KEY (w) REFERENCES away, FOREIGN KEY (n) REFERENCES p (u))`,
      `INSERT INTO p VALUES (1, 'b', 'u1', 'l1', 'f1'), (2, 'b', 'u2', 'l2', 'f2')`,
      `INSERT INTO c VALUES (1, 1, 'b', 'u1', 'l1', 'f1', 7, NULL), (2, NULL, 'x', NULL, NULL, NULL, NULL, NULL)`,
    ],
    env: { EXCLUDE_TABLES: 'away' },
    exclude: ['away'],
  })
  await scenario.write([`INSERT INTO c (x, y) VALUES (2, 'b')`, `UPDATE p SET u = 'u3' WHERE a = 2`])
  await scenario.equalAtLagZero()
  const told = (await scenario.daemon.status())?.warnings.join('\n')
  expect(told).toMatch(/foreign key \(l\) to p \(loose\) .*plain unique index/)
  expect(told).toMatch(/foreign key \(f\) to p \(fold\) .*plain unique index/)
  expect(told).toMatch(/foreign key \(w\) to away \(id\) .*away is not moved/)
  expect(told).toMatch(/foreign key \(n\) to p \(u\) .*n becomes bigint and u text/)
  await scenario.daemon.stop()
  await scenario.slipway.mustRun(['uninstall', '--yes'])
  const keys = await scenario.postgres(
    `SELECT conname AS name, pg_get_constraintdef(oid) AS is FROM pg_constraint WHERE contype = 'f' ORDER BY 1`,
  )
  expect(keys).toEqual([
    { name: 'c_z_fkey', is: expect.stringMatching(/^FOREIGN KEY \(z\) REFERENCES p\(u\)/) },
    { name: 'c_z_fkey_2', is: expect.stringMatching(/^FOREIGN KEY \(z\) REFERENCES p\(u\)/) },
    {
      name: 'whole',
      is: 'FOREIGN KEY (x, y) REFERENCES p(a, b) ON UPDATE SET NULL ON DELETE CASCADE',
    },
  ])
})
