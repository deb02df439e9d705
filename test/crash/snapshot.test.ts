/**
 * A copy that is cut off by `kill -9` at random moments goes on at its last chunk and ends equal: at rest, and
 * under writers on a target that the application's own migrations made (trap H8).
 * `SLIPWAY_TEST_FULL=1` copies a million rows and kills five times.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { describe, expect, test } from 'vitest'
import { expectEqual } from '../support/compare.ts'
import { Slipway, Workspace } from '../support/daemon.ts'
import { createDatabase, startOwnServer } from '../support/postgres.ts'
import { createSource, startWriters, stopWriters } from '../support/writers.ts'

const FULL = process.env.SLIPWAY_TEST_FULL === '1'
const ROWS = FULL ? 1_000_000 : 100_000
const KILLS = FULL ? 5 : 3

/** Rows of `items` that PostgreSQL shows; -1 while there is no such table. */
async function copied(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ there: boolean }>(
    `SELECT to_regclass('public.items') IS NOT NULL AS there`,
  )
  if (rows[0]?.there !== true) return -1
  const count = await client.query<{ n: string }>('SELECT count(*)::text AS n FROM items')
  return Number(count.rows[0]?.n)
}

test(
  `${ROWS} rows, cut off ${KILLS} times: resumed at the last chunk, equal`,
  async () => {
    using workspace = new Workspace()
    const sqlitePath = workspace.file('app.db')
    await createSource(sqlitePath, { fill: ROWS })
    await using database = await createDatabase()
    await using slipway = await Slipway.create({
      directory: workspace.path,
      sqlitePath,
      postgresUrl: database.url,
      env: FULL ? {} : { CHUNK_ROWS: '500' },
    })
    const client = await database.connect()
    let kept = 0
    let kills = 0
    for (let attempt = 0; attempt < KILLS; attempt++) {
      const run = slipway.spawn(['snapshot'])
      const goal = kept + Math.round(((ROWS - kept) / (KILLS - attempt + 1)) * (0.3 + Math.random() * 0.7))
      let seen = 0
      while (run.alive && seen < goal) {
        seen = await copied(client)
        // What was committed is never copied again, let alone taken away.
        if (seen >= 0) expect(seen, run.tail()).toBeGreaterThanOrEqual(kept)
        await sleep(2)
      }
      await sleep(Math.random() * 30)
      const cutOff = run.alive
      const result = await run.kill()
      if (cutOff && result.signal === 'SIGKILL') kills++
      // A transaction in flight when the process died is rolled back a moment later.
      await sleep(300)
      kept = Math.max(kept, await copied(client))
      expect(kept).toBeGreaterThan(0)
    }
    expect(kills).toBeGreaterThanOrEqual(FULL ? KILLS : KILLS - 1)
    expect(kept).toBeLessThan(ROWS)
    const last = await slipway.mustRun(['snapshot'], { ms: 180_000 })
    expect(last.stdout + last.stderr).toMatch(/Next: /)

    const daemon = await slipway.start()
    await daemon.caughtUp()
    const result = await expectEqual({ sqlitePath, postgresUrl: database.url })
    expect(result.rows).toBeGreaterThanOrEqual(ROWS)
    // Again: harmless.
    expect((await daemon.stop()).code).toBe(0)
    const again = await slipway.mustRun(['snapshot'])
    expect(again.stdout + again.stderr).toMatch(/already|nothing to do|complete/i)
    await expectEqual({ sqlitePath, postgresUrl: database.url })
  },
  FULL ? 600_000 : 120_000,
)

test('PostgreSQL stopped at once in the middle of the copy, twice, under writers: equal', {
  timeout: 120_000,
}, async () => {
  using workspace = new Workspace()
  const sqlitePath = workspace.file('app.db')
  await createSource(sqlitePath, { fill: 30_000 })
  await using server = await startOwnServer()
  await using slipway = await Slipway.create({
    directory: workspace.path,
    sqlitePath,
    postgresUrl: server.url,
    env: { CHUNK_ROWS: '100' },
  })
  const writers = await startWriters(2, { path: sqlitePath, rate: 100, seed: 'server' })
  const daemon = slipway.launch()
  let cutOff = 0
  for (let stop = 0; stop < 2; stop++) {
    const client = await server.connect()
    const start = Math.max(0, await copied(client))
    const deadline = Date.now() + 20_000
    while (Date.now() < deadline && (await copied(client)) <= start + 1000) await sleep(5)
    const lag = await daemon.lag()
    if (lag?.phase === 'snapshotting') cutOff++
    await server.stop('immediate')
    await client.end().catch(() => {})
    await sleep(300)
    await server.start()
  }
  // It was the copy that was cut off, not the replay.
  expect(cutOff).toBeGreaterThan(0)
  await daemon.when('replicating', (lag) => lag.phase === 'replicating')
  const report = await stopWriters(writers)
  await daemon.caughtUp()
  expect(report.unexpected).toEqual([])
  await expectEqual({ sqlitePath, postgresUrl: server.url })
  expect(slipway.copiesAnew()).toBe(0)
  expect((await daemon.stop()).code).toBe(0)
})

/**
 * The application's own migrations: uniques, foreign keys that cascade, checks, and triggers that would change
 * what is written if they acted.
 */
const APPLICATION = `
  CREATE TABLE accounts (id bigint PRIMARY KEY, name text NOT NULL, balance bigint NOT NULL);
  CREATE TABLE items (id bigint PRIMARY KEY, slug text, code text UNIQUE, payload bytea, score double precision, note text);
  CREATE UNIQUE INDEX items_slug ON items (lower(slug COLLATE "C"));
  CREATE TABLE documents (path text PRIMARY KEY, title text, size bigint);
  CREATE TABLE tags (name text PRIMARY KEY, weight bigint, hint text);
  CREATE UNIQUE INDEX tags_name ON tags (lower(name COLLATE "C"));
  CREATE TABLE memberships (team bigint, person text, role text, since text, PRIMARY KEY (team, person));
  CREATE TABLE parents (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text UNIQUE,
    children_count bigint NOT NULL DEFAULT 0);
  CREATE TABLE children (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents (id) ON DELETE CASCADE, label text,
    UNIQUE (parent_id, label));
  CREATE TABLE slots (id bigint PRIMARY KEY, room text NOT NULL, position bigint NOT NULL, active bigint NOT NULL DEFAULT 1);
  CREATE UNIQUE INDEX slots_active ON slots (room, position) WHERE active = 1;
  CREATE FUNCTION recount() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE parents SET children_count = children_count + 100 WHERE id = NEW.parent_id;
    RETURN NULL;
  END $$;
  CREATE TRIGGER children_added AFTER INSERT OR UPDATE ON children FOR EACH ROW EXECUTE FUNCTION recount();
  CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'stamped'; RETURN NEW; END $$;
  CREATE TRIGGER items_stamped BEFORE INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION stamp();
`

describe('a target that has its uniques, foreign keys and triggers', () => {
  test.for(['superuser', 'owner'] as const)(
    'is copied under writers and kills, as %s: equal',
    { timeout: 120_000 },
    async (role) => {
      using workspace = new Workspace()
      const sqlitePath = workspace.file('app.db')
      await createSource(sqlitePath, { fill: 20_000 })
      await using database = await createDatabase()
      const client = await database.connect()
      const owner = await database.createRole()
      await client.query(`ALTER DATABASE "${database.name}" OWNER TO ${owner.name}`)
      // The tables belong to the role that slipway gets.
      if (role === 'owner')
        await client.query(`GRANT ALL ON SCHEMA public TO ${owner.name}; SET ROLE ${owner.name}`)
      await client.query(APPLICATION)
      await client.query('RESET ROLE')
      const postgresUrl = role === 'superuser' ? database.url : owner.url
      await using slipway = await Slipway.create({
        directory: workspace.path,
        sqlitePath,
        postgresUrl,
        env: { CHUNK_ROWS: '200' },
      })
      const writers = await startWriters(3, { path: sqlitePath, rate: 150, seed: `snapshot-${role}` })
      let daemon = slipway.launch()
      for (let kill = 0; kill < 3; kill++) {
        const start = await copied(client)
        const deadline = Date.now() + 15_000
        while ((await copied(client)) <= start + 1000 && daemon.process.alive && Date.now() < deadline)
          await sleep(5)
        await sleep(Math.random() * 50)
        expect(daemon.process.alive, daemon.process.tail()).toBe(true)
        await daemon.kill()
        daemon = slipway.launch()
      }
      await daemon.when('replicating', (lag) => lag.phase === 'replicating')
      const report = await stopWriters(writers)
      await daemon.caughtUp()
      expect(report.unexpected).toEqual([])
      expect(report.acked).toBeGreaterThan(300)
      await expectEqual({ sqlitePath, postgresUrl: database.url })
      expect(slipway.copiesAnew()).toBe(0)
      expect((await daemon.stop()).code).toBe(0)
    },
  )
})
