import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// While SQLite leads, PostgreSQL refuses everybody but the replicator, in every isolation level and by every
// statement that writes (H2, H17): a row that somebody else writes there would be lost or would break the copy.

const ATTEMPTS: [what: string, sql: string][] = [
  ['INSERT', `INSERT INTO t VALUES (9, 'x')`],
  ['UPDATE', `UPDATE t SET a = 'x'`],
  ['UPDATE of no row', 'UPDATE t SET a = a WHERE false'],
  ['DELETE', 'DELETE FROM t'],
  ['TRUNCATE', 'TRUNCATE t'],
  ['COPY', 'COPY t FROM PROGRAM \'printf "9\\tx\\n"\''],
  [
    'MERGE',
    `MERGE INTO t USING (SELECT 9 AS id) s ON t.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (9, 'x')`,
  ],
  ['a CTE', `WITH w AS (INSERT INTO t VALUES (9, 'x') RETURNING 1) SELECT * FROM w`],
  ['the replica role', `SET session_replication_role = replica; INSERT INTO t VALUES (9, 'x')`],
  [
    'REPEATABLE READ',
    `BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; INSERT INTO t VALUES (9, 'x'); COMMIT`,
  ],
  ['SERIALIZABLE', `BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; INSERT INTO t VALUES (9, 'x'); COMMIT`],
  ['a guessed pass', `SET slipway.pass = 'guess'; INSERT INTO t VALUES (9, 'x')`],
  ['an empty pass', `SET slipway.pass = ''; INSERT INTO t VALUES (9, 'x')`],
]

test('a passive target refuses with 25006', async () => {
  await using scenario = await Scenario.replicating({
    source: ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', `INSERT INTO t VALUES (1, 'one')`],
  })
  const role = await scenario.database.createRole()
  await scenario.postgres(`GRANT ALL ON t TO ${role.name}`)
  for (const as of [undefined, role.name]) {
    for (const [what, sql] of ATTEMPTS) {
      const client = await scenario.database.connect()
      if (as !== undefined) await client.query(`SET ROLE ${as}`)
      const error = await client.query(sql).then(
        () => undefined,
        (thrown: { code?: string }) => thrown,
      )
      await client.end()
      expect(error, `${what} as ${as ?? 'superuser'} went through`).toBeDefined()
      // An ordinary role lacks some of these rights anyway.
      if (as === undefined) expect(error?.code, what).toBe('25006')
      else expect(['25006', '42501'], what).toContain(error?.code)
    }
  }
  // Reading is free, and replication goes on.
  expect(await scenario.postgres('SELECT a FROM t')).toEqual([{ a: 'one' }])
  await scenario.write([`INSERT INTO t VALUES (2, 'two')`])
  await scenario.equalAtLagZero()
  // It stays closed when the daemon is gone, however it went.
  await scenario.daemon.kill()
  await expect(scenario.postgres(`INSERT INTO t VALUES (9, 'x')`)).rejects.toMatchObject({ code: '25006' })
})
