/**
 * Four foreign processes write while the daemon is killed and PostgreSQL is stopped at once, again and again.
 * Short in the suite; `SLIPWAY_TEST_FULL=1` runs it for 60 s with 20 kills and 3 immediate stops.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { expect, test } from 'vitest'
import { expectEqual } from '../support/compare.ts'
import { type Daemon, Slipway, Workspace } from '../support/daemon.ts'
import { type OwnServer, startOwnServer } from '../support/postgres.ts'
import { BALANCE_SQL, createSource, startWriters, stopWriters, TOTAL_BALANCE } from '../support/writers.ts'

const FULL = process.env.SLIPWAY_TEST_FULL === '1'
const SECONDS = FULL ? 60 : 15
const KILLS = FULL ? 20 : 6
const STOPS = FULL ? 3 : 1
const RATE = FULL ? 150 : 100

test(
  `${SECONDS} s of writes, ${KILLS} kills, ${STOPS} immediate stops: equal, and never a broken sum`,
  async () => {
    using workspace = new Workspace()
    const sqlitePath = workspace.file('app.db')
    await createSource(sqlitePath, { fill: 2000 })
    await using server = await startOwnServer()
    await using slipway = await Slipway.create({
      directory: workspace.path,
      sqlitePath,
      postgresUrl: server.url,
    })
    let daemon = await slipway.start()
    await daemon.caughtUp()

    const observer = new Observer(server, () => daemon)
    const watching = observer.run()
    const writers = await startWriters(4, { path: sqlitePath, rate: RATE, seed: 'replication' })

    const began = Date.now()
    const strokes = [...Array<'kill'>(KILLS).fill('kill'), ...Array<'stop'>(STOPS).fill('stop')]
    // Stops stand in the middle of the kills, not at their end.
    const plan = strokes.map((stroke, index) => strokes[(index * 5 + 3) % strokes.length] ?? stroke)
    expect(plan.filter((stroke) => stroke === 'kill')).toHaveLength(KILLS)
    for (const [index, stroke] of plan.entries()) {
      const due = began + ((index + 0.3 + Math.random() * 0.6) * SECONDS * 1000) / plan.length
      await sleep(Math.max(0, due - Date.now()))
      if (stroke === 'kill') {
        await daemon.kill()
        daemon = slipway.launch()
      } else {
        await server.stop('immediate')
        await sleep(300)
        await server.start()
      }
    }
    await sleep(Math.max(0, began + SECONDS * 1000 - Date.now()))
    const report = await stopWriters(writers)

    await daemon.answering()
    const lag = await daemon.caughtUp(FULL ? 120_000 : 60_000)
    observer.stop()
    await watching

    expect(report.unexpected).toEqual([])
    expect(report.acked).toBeGreaterThan(SECONDS * RATE)
    // Not one kind of write that only ever failed.
    expect(Object.keys(report.per_operation).length).toBeGreaterThan(35)
    expect(observer.broken).toEqual([])
    expect(observer.seen).toBeGreaterThan(20)
    // It did watch a target that moved.
    expect(observer.states.size).toBeGreaterThan(10)
    await expectEqual({ sqlitePath, postgresUrl: server.url })
    expect(slipway.copiesAnew()).toBe(0)
    expect(await sumOf(server)).toBe(TOTAL_BALANCE)
    expect(lag).toMatchObject({ phase: 'replicating', state: 'running', quarantined: 0, pending_changes: 0 })
    expect((await daemon.stop()).code).toBe(0)
  },
  FULL ? 300_000 : 150_000,
)

async function sumOf(server: OwnServer): Promise<number> {
  const client = await server.connect()
  const { rows } = await client.query<{ sum: string }>(BALANCE_SQL)
  await client.end()
  return Number(rows[0]?.sum)
}

/**
 * Reads the invariant in PostgreSQL as any client might. A reading counts when `/lag` said `replicating` before
 * and after it.
 */
class Observer {
  readonly broken: string[] = []
  readonly states = new Set<string>()
  seen = 0
  #stopped = false
  readonly #server: OwnServer
  readonly #daemon: () => Daemon

  constructor(server: OwnServer, daemon: () => Daemon) {
    this.#server = server
    this.#daemon = daemon
  }

  stop(): void {
    this.#stopped = true
  }

  async run(): Promise<void> {
    let client: pg.Client | undefined
    while (!this.#stopped) {
      await sleep(20)
      try {
        const before = await this.#daemon().lag()
        if (before?.phase !== 'replicating') continue
        if (client === undefined) {
          client = await this.#server.connect()
        }
        const { rows } = await client.query<{ sum: string; state: string }>(
          `SELECT (${BALANCE_SQL})::text AS sum,
                  (SELECT md5(string_agg(balance::text, ',' ORDER BY id)) FROM accounts) AS state`,
        )
        const after = await this.#daemon().lag()
        if (after?.phase !== 'replicating') continue
        this.seen++
        this.states.add(rows[0]?.state ?? '')
        if (Number(rows[0]?.sum) !== TOTAL_BALANCE) {
          this.broken.push(`${rows[0]?.sum} at ${before.applied}..${after.applied}`)
        }
      } catch {
        await client?.end().catch(() => {})
        client = undefined
      }
    }
    await client?.end().catch(() => {})
  }
}
