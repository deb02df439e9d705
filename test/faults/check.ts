/** One run of the checker: rounds of faults under load until the time is over, then the proof. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { compare, show } from '../support/compare.ts'
import { now } from './clock.ts'
import type { Acknowledged, Engine } from './history.ts'
import { ask, atRest, caughtUp, type PassageResult, possible, told } from './passage.ts'
import { type Problem, prove } from './prove.ts'
import { flat, readHistory, untouched } from './read-history.ts'
import { describeRound, type Round, roundOf } from './schedule.ts'
import { TOTAL_BALANCE } from './schema.ts'
import { oneOpen, putUp, settle } from './settle.ts'
import { BUSY_EXCUSES, FULL_EXCUSES, prepare, strike } from './strokes.ts'
import { World } from './world.ts'
import type { Moment, WriterReport } from './writer.ts'

export interface CheckOptions {
  readonly seconds: number
  readonly seed: number
  /** Writes a second of all writers together. */
  readonly rate: number
  readonly writers: number
  /** Number of the first round: a look at what came late in a run. */
  readonly first: number
  /** At the most; the time ends it as well. */
  readonly rounds: number
  /** Off: faults alone, no change of authority. */
  readonly passages: boolean
  /** Made by the caller. */
  readonly directory: string
  readonly say: (line: string) => void
}

export interface CheckResult {
  readonly ok: boolean
  readonly problems: readonly string[]
  readonly summary: string
  readonly acknowledged: number
  /** Changes of authority that were done. */
  readonly switchovers: number
  readonly rollbacks: number
  /** Answered with 504. */
  readonly undone: number
  readonly rounds: number
}

/** A writer's own driver waits so long for a lock before it gives up. */
const BUSY_MS = 5000
const SETTLE_MS = 30_000
/** By then there was more than one change of either kind. */
const ENOUGH_ROUNDS = 12

export async function check(options: CheckOptions): Promise<CheckResult> {
  const world = await World.create({
    directory: options.directory,
    seed: options.seed,
    writers: options.writers,
    rate: options.rate,
    diskMegabytes: 192 + Math.ceil(options.seconds / 2),
    // Nobody could wait for a vacuum of the usual pace in a run of seconds.
    settings: { autovacuum_naptime: '1s', autovacuum_vacuum_threshold: '20', log_lock_waits: 'on' },
    say: options.say,
  })
  const run = new Run(world, options)
  // What is stopped or mounted would outlive us.
  const leave = () => void world[Symbol.asyncDispose]().finally(() => process.exit(130))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, leave)
  try {
    await run.rounds()
    return await run.proof()
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, leave)
    await world[Symbol.asyncDispose]()
  }
}

class Run {
  readonly #world: World
  readonly #options: CheckOptions
  readonly #problems: string[] = []
  readonly #results: PassageResult[] = []
  #rounds = 0

  constructor(world: World, options: CheckOptions) {
    this.#world = world
    this.#options = options
  }

  async rounds(): Promise<void> {
    const { seed, seconds, first, rounds } = this.#options
    await this.#world.startWriters()
    const until = now() + seconds * 1000
    for (let number = first; number < first + rounds && now() < until; number++) {
      const round = roundOf(seed, number)
      this.#world.say(describeRound(round))
      try {
        await this.#round(round)
      } catch (error) {
        this.#problem(`round ${number}: ${(error as Error).message}`)
        // What does not come back makes every further round say the same.
        return
      }
      this.#rounds++
    }
  }

  async #round(round: Round): Promise<void> {
    const world = this.#world
    await sleep(round.calmMs)
    const passage = this.#options.passages && round.passage ? await possible(world) : undefined
    if (this.#options.passages && round.passage && passage === undefined) {
      world.say(`no change is possible: ${JSON.stringify(await world.daemon.lag())}`)
    }
    const ready = await prepare(world, round.stroke, passage ?? 'switchover')
    if (ready.skipped !== undefined) {
      world.say(`skipped: ${ready.skipped}`)
      return
    }
    // A daemon that was started anew has to get there first.
    if (ready.point !== undefined) await possible(world)
    const changed =
      passage === undefined
        ? Promise.resolve(undefined)
        : ask(world.daemon, passage, {
            max_pause_ms: ready.maxPauseMs ?? round.maxPauseMs,
            wait_seconds: 20,
            verify: 'none',
          })
    await strike(world, round.stroke, ready, round.offsetMs, changed)
    const result = await changed
    if (result !== undefined) await this.#judge(round, result)
    const settled = await settle(world)
    if (settled.ms > 1000) world.say(`open again: ${settled.leader} after ${Math.round(settled.ms)} ms`)
    if (this.#options.passages) await atRest(world)
  }

  async #judge(round: Round, result: PassageResult): Promise<void> {
    const world = this.#world
    this.#results.push(result)
    world.say(told(result))
    const quiet = ['none', 'vacuum', 'reader', 'lock', 'hold_sqlite'].includes(round.stroke.kind)
    if (!quiet) return
    const from: Engine = result.passage === 'switchover' ? 'sqlite' : 'postgres'
    const to: Engine = from === 'sqlite' ? 'postgres' : 'sqlite'
    // Nothing is broken: who asked has an answer, and writes are open within a second of it.
    if (result.status !== 200 && result.status !== 504 && result.status !== 412) {
      this.#problem(`round ${round.number}: ${told(result)}`)
      return
    }
    const { leader } = await oneOpen(world, 1000)
    const expected = result.status === 200 ? to : from
    if (leader !== expected) {
      this.#problem(`round ${round.number}: ${told(result)}, but ${leader} takes the writes`)
    }
  }

  async proof(): Promise<CheckResult> {
    const world = this.#world
    let reports: readonly WriterReport[] = []
    let acknowledged: readonly Acknowledged[] = []
    try {
      await putUp(world)
      const { leader } = await settle(world)
      if (this.#options.passages) await atRest(world)
      reports = await world.writers.stop()
      acknowledged = flat(world.writers.acknowledged())
      await caughtUp(world, SETTLE_MS)
      const doubtful = reports.flatMap((one) => one.doubtful)
      const place = { sqlitePath: world.sqlitePath, postgresUrl: world.server.url }
      const history = await readHistory(leader, place, { acknowledged, doubtful })
      writeFileSync(join(world.directory, 'history.json'), JSON.stringify(history))
      const { problems, counts } = prove(history, { balance: TOTAL_BALANCE })
      for (const one of problems.slice(0, 30)) this.#problem(describe(one))
      if (problems.length > 30) this.#problem(`and more: ${JSON.stringify(counts)}`)
      const compared = await compare(place)
      if (!compared.equal) {
        this.#problem(`SQLite and PostgreSQL differ in ${compared.total} places:\n${show(compared)}`)
      }
      if (untouched(world.sqlitePath).join('\n') !== world.cells.join('\n')) {
        this.#problem('cells that nobody wrote have other bytes than at the beginning')
      }
      this.#noCopies()
      this.#noIdling()
    } catch (error) {
      this.#problem(`at the end: ${(error as Error).message}`)
    }
    this.#errors(reports)
    return this.#result(acknowledged, reports)
  }

  /** A copy made anew heals everything, and hides what was lost on the way. */
  #noCopies(): void {
    const copies = this.#world.copiesAnew()
    if (copies > 0) this.#problem(`the daemon copied everything anew ${copies} times`)
  }

  /** A run in which nothing ever changed hands proves nothing. */
  #noIdling(): void {
    if (!this.#options.passages || this.#rounds < ENOUGH_ROUNDS) return
    for (const passage of ['switchover', 'rollback'] as const) {
      const done = this.#results.some((one) => one.passage === passage && one.status === 200)
      if (!done) this.#problem(`not one ${passage} was done in ${this.#rounds} rounds`)
    }
  }

  /** Errors of writers that no fault explains. */
  #errors(reports: readonly WriterReport[]): void {
    const world = this.#world
    const unexplained = (moments: readonly Moment[], kinds: readonly string[], slackMs: number) =>
      moments.filter(({ at }) => !world.disturbed(at, kinds, slackMs))
    for (const report of reports) {
      const wrong = [
        ...report.wrong,
        ...unexplained(report.busy, BUSY_EXCUSES, BUSY_MS + 1000),
        ...unexplained(report.full, FULL_EXCUSES, 1000),
      ]
      for (const { writer, message } of wrong.slice(0, 5)) this.#problem(`writer ${writer}: ${message}`)
      if (wrong.length > 5) this.#problem(`writer ${report.writer}: ${wrong.length} errors in all`)
    }
  }

  #problem(message: string): void {
    this.#problems.push(message)
    this.#world.say(`PROBLEM ${message}`)
  }

  #result(acknowledged: readonly Acknowledged[], reports: readonly WriterReport[]): CheckResult {
    const done = this.#results.filter((one) => one.status === 200)
    const undone = this.#results.filter((one) => one.status === 504).length
    const epochs = new Set(acknowledged.map((one) => one.epoch)).size
    const sum = (pick: (report: WriterReport) => number): number =>
      reports.reduce((total, one) => total + pick(one), 0)
    const count = (passage: string): number => done.filter((one) => one.passage === passage).length
    const pauses = done.flatMap((one) => one.body.pause_ms ?? [])
    const ok = this.#problems.length === 0
    const summary = [
      `check:faults seed=${this.#options.seed}: ${ok ? 'OK' : `${this.#problems.length} PROBLEMS`}`,
      `${this.#rounds} rounds`,
      `${acknowledged.length} writes acknowledged (${sum((one) => one.onPostgres)} by PostgreSQL) in ${epochs} epochs`,
      `${sum((one) => one.doubts)} answers lost (${sum((one) => one.landed)} had landed)`,
      `${count('switchover')} switchovers, ${count('rollback')} rollbacks, ${undone} undone, ${this.#results.length - done.length - undone} refused or cut off`,
      `pauses ${describePauses(pauses)}`,
      `slowest write ${Math.max(0, ...reports.map((one) => one.slowest_ms))} ms`,
    ].join('; ')
    return {
      ok,
      problems: this.#problems,
      summary,
      acknowledged: acknowledged.length,
      switchovers: count('switchover'),
      rollbacks: count('rollback'),
      undone,
      rounds: this.#rounds,
    }
  }
}

function describe({ kind, message }: Problem): string {
  return `${kind}: ${message}`
}

/** By nearest rank. */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)] ?? Number.NaN
}

export function describePauses(pauses: readonly number[]): string {
  if (pauses.length === 0) return 'none'
  const ms = (value: number): string => `${value.toFixed(0)} ms`
  return `p50 ${ms(percentile(pauses, 0.5))}, p99 ${ms(percentile(pauses, 0.99))}, max ${ms(Math.max(...pauses))} of ${pauses.length}`
}
