/**
 * `npm run check:cycles -- --cycles 50 [--rate 200] [--writers 9]`: switchover and rollback, again and again, under load
 * and with nothing broken. After each change the writers stand still for a moment and both engines are compared. No
 * write may be lost, doubled or out of order, and a writer may see nothing but the documented answer of a fence.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { compare, show } from '../support/compare.ts'
import { describePauses } from './check.ts'
import { ask, caughtUp, type Passage, told } from './passage.ts'
import { prove } from './prove.ts'
import { flat, readHistory, untouched } from './read-history.ts'
import { TOTAL_BALANCE } from './schema.ts'
import { oneOpen } from './settle.ts'
import { World } from './world.ts'

export interface CyclesOptions {
  readonly cycles: number
  readonly seed: number
  readonly rate: number
  readonly writers: number
  /** Of undisturbed load before each change. */
  readonly loadMs: number
  readonly directory: string
  readonly say: (line: string) => void
}

export interface CyclesResult {
  readonly problems: readonly string[]
  readonly pauses: Readonly<Record<Passage, readonly number[]>>
  readonly acknowledged: number
  readonly onPostgres: number
  readonly slowestMs: number
  /** Attempts that were refused by a guard, or undone in time. */
  readonly refused: number
}

/** How often a change that was refused or undone is asked for again. */
const ATTEMPTS = 3

export async function cycle(options: CyclesOptions): Promise<CyclesResult> {
  const { directory, say, seed, rate, writers } = options
  const world = await World.create({
    directory,
    seed,
    writers,
    rate,
    // An eager one: it is to meet the changes, and the tables are small.
    settings: {
      autovacuum: 'on',
      autovacuum_naptime: '1s',
      autovacuum_vacuum_threshold: '20',
      autovacuum_vacuum_scale_factor: '0.01',
    },
    say,
  })
  const problems: string[] = []
  const problem = (message: string): void => {
    problems.push(message)
    world.say(`PROBLEM ${message}`)
  }
  const pauses: Record<Passage, number[]> = { switchover: [], rollback: [] }
  let refused = 0
  try {
    await world.startWriters()
    const place = { sqlitePath: world.sqlitePath, postgresUrl: world.server.url }
    for (let number = 1; number <= options.cycles && problems.length === 0; number++) {
      for (const passage of ['switchover', 'rollback'] as const) {
        await sleep(options.loadMs)
        let result = await ask(world.daemon, passage, {})
        world.say(`${number}/${options.cycles} ${told(result)}`)
        // A machine that is busy with something else: refused or undone in time is no fault, and the next attempt works.
        for (let again = 1; again <= ATTEMPTS && (result.status === 412 || result.status === 504); again++) {
          await sleep(1000 * again)
          refused++
          result = await ask(world.daemon, passage, {})
          world.say(`${number}/${options.cycles} once more: ${told(result)}`)
        }
        if (result.status !== 200) {
          problem(`cycle ${number}: ${told(result)}`)
          break
        }
        pauses[passage].push(result.body.pause_ms ?? Number.NaN)
        const { leader } = await oneOpen(world, 1000)
        if (leader !== (passage === 'switchover' ? 'postgres' : 'sqlite')) {
          problem(`cycle ${number}: after the ${passage} ${leader} takes the writes`)
        }
        await world.writers.pause()
        await caughtUp(world)
        const compared = await compare(place)
        if (!compared.equal) {
          problem(`cycle ${number}: ${compared.total} differences after the ${passage}:\n${show(compared)}`)
        }
        world.writers.resume()
      }
    }
    const reports = await world.writers.stop()
    const acknowledged = flat(world.writers.acknowledged())
    const { leader } = await oneOpen(world, 1000)
    await caughtUp(world)
    const history = await readHistory(leader, place, {
      acknowledged,
      doubtful: reports.flatMap((one) => one.doubtful),
    })
    for (const one of prove(history, { balance: TOTAL_BALANCE }).problems.slice(0, 30)) {
      problem(`${one.kind}: ${one.message}`)
    }
    if (untouched(world.sqlitePath).join('\n') !== world.cells.join('\n')) {
      problem('cells that nobody wrote have other bytes than at the beginning')
    }
    for (const report of reports) {
      const errors = [...report.wrong, ...report.busy, ...report.full, ...report.unreachable]
      for (const { writer, message } of errors.slice(0, 5)) problem(`writer ${writer}: ${message}`)
    }
    return {
      problems,
      pauses,
      acknowledged: acknowledged.length,
      onPostgres: reports.reduce((sum, one) => sum + one.onPostgres, 0),
      refused,
      slowestMs: Math.max(...reports.map((one) => one.slowest_ms)),
    }
  } finally {
    await world[Symbol.asyncDispose]()
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      cycles: { type: 'string', default: '50' },
      seed: { type: 'string', default: '1' },
      rate: { type: 'string', default: '200' },
      writers: { type: 'string', default: '9' },
      keep: { type: 'boolean', default: false },
    },
  })
  const directory = mkdtempSync(join(tmpdir(), 'slipway-cycles-'))
  try {
    const result = await cycle({
      cycles: Number(values.cycles),
      seed: Number(values.seed),
      rate: Number(values.rate),
      writers: Number(values.writers),
      loadMs: 400,
      directory,
      say: (line) => console.log(line),
    })
    const { switchover, rollback } = result.pauses
    console.log(`switchover pauses: ${describePauses(switchover)}`)
    console.log(`rollback pauses:   ${describePauses(rollback)}`)
    console.log(`all pauses:        ${describePauses([...switchover, ...rollback])}`)
    console.log(
      `check:cycles ${values.cycles}: ${result.problems.length === 0 ? 'OK, 0 lost, 0 doubled, 0 out of order, 0 errors' : `${result.problems.length} PROBLEMS`}; ${result.acknowledged} writes acknowledged (${result.onPostgres} by PostgreSQL), the slowest took ${result.slowestMs} ms; ${result.refused} attempts refused or undone`,
    )
    return result.problems.length === 0 ? 0 : 1
  } finally {
    if (values.keep) console.log(`kept: ${directory}`)
    else rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  }
}

if (import.meta.main) process.exitCode = await main()
