/**
 * One writer, a process of its own: `node writer.ts JSON`. It writes one entry after the other, on whichever engine
 * lets it, and knows of slipway only the documented answer of a fence. It never goes on before it knows what became
 * of a write. Lines on standard input: pause, resume, stop. Each acknowledged write is a line in a file outside.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../../src/demo/random.ts'
import { now } from './clock.ts'
import type { Engine } from './history.ts'
import { nextWrite, type Write } from './operations.ts'
import type { Hand, Outcome } from './outcome.ts'
import { type Isolation, PostgresHand } from './postgres-hand.ts'
import { SqliteHand } from './sqlite-hand.ts'

export interface WriterOptions {
  readonly writer: number
  readonly seed: number
  readonly sqlitePath: string
  readonly postgresUrl: string
  readonly isolation: Isolation
  /** Writes a second; what was held up is not made up for. */
  readonly rate: number
  readonly acknowledgements: string
}

/** An error and when it came, by clock.ts. */
export interface Moment {
  readonly writer: number
  readonly at: number
  readonly message: string
}

export interface WriterReport {
  readonly writer: number
  readonly acknowledged: number
  readonly onPostgres: number
  readonly fenced: number
  readonly again: number
  /** Attempts whose answer was lost, and how many of those had landed. */
  readonly doubts: number
  readonly landed: number
  readonly unreachable: readonly Moment[]
  readonly busy: readonly Moment[]
  readonly full: readonly Moment[]
  readonly wrong: readonly Moment[]
  readonly slowest_ms: number
  /** A write that it had to give up on when it was told to stop. */
  readonly doubtful: readonly { readonly writer: number; readonly n: number }[]
  readonly per_operation: Readonly<Record<string, number>>
}

/** How long a write that nobody answers is tried after `stop`. */
const GIVE_UP_MS = 30_000
const KEPT = 500

class Writer {
  readonly #options: WriterOptions
  readonly #random: Random
  readonly #hands: Record<Engine, Hand>
  readonly #file: number
  readonly #stopped = new AbortController()
  #stoppedAt = Number.POSITIVE_INFINITY
  #resumed = Promise.withResolvers<void>()
  #paused = false
  #side: Engine = 'sqlite'
  readonly #counts = { acknowledged: 0, onPostgres: 0, fenced: 0, again: 0, doubts: 0, landed: 0 }
  readonly #errors: Record<'unreachable' | 'busy' | 'full' | 'wrong', Moment[]> = {
    unreachable: [],
    busy: [],
    full: [],
    wrong: [],
  }
  readonly #perOperation: Record<string, number> = {}
  readonly #doubtful: { writer: number; n: number }[] = []
  #slowest = 0

  constructor(options: WriterOptions) {
    this.#options = options
    this.#random = new Random(options.seed, options.writer)
    this.#hands = {
      sqlite: new SqliteHand(options.sqlitePath),
      postgres: new PostgresHand(options.postgresUrl, options.isolation),
    }
    this.#file = openSync(options.acknowledgements, 'a')
  }

  command(line: string): void {
    if (line === 'pause') {
      this.#resumed = Promise.withResolvers()
      this.#paused = true
    } else if (line === 'resume' || line === 'stop') {
      this.#paused = false
      this.#resumed.resolve()
    }
    if (line === 'stop') {
      this.#stoppedAt = now()
      this.#stopped.abort()
    }
  }

  async run(): Promise<WriterReport> {
    const { writer, rate } = this.#options
    let due = now()
    for (let n = 1; !this.#stopped.signal.aborted; ) {
      if (this.#paused) {
        say({ paused: true })
        await this.#resumed.promise
        continue
      }
      if (await this.#land(nextWrite(writer, n, this.#random))) n++
      else break
      due = Math.max(due + 1000 / rate, now() - 50)
      const rest = due - now()
      if (rest > 0) await sleep(rest, undefined, { signal: this.#stopped.signal }).catch(() => {})
    }
    await Promise.all([this.#hands.sqlite.close(), this.#hands.postgres.close()])
    closeSync(this.#file)
    return {
      writer,
      ...this.#counts,
      ...this.#errors,
      slowest_ms: Math.round(this.#slowest),
      doubtful: this.#doubtful,
      per_operation: this.#perOperation,
    }
  }

  /** Tries one write until its fate is known; false: given up. */
  async #land(write: Write): Promise<boolean> {
    const first = now()
    /** Since when it may be there without our knowing. */
    let doubtSince: number | undefined
    for (let refusals = 0; ; ) {
      const engine = this.#side
      const started = now()
      const outcome = await this.#hands[engine].write(write)
      if (outcome.kind === 'acknowledged') {
        this.#acknowledge(write, engine, outcome.epoch, doubtSince ?? started, first)
        return true
      }
      if (outcome.kind === 'there') {
        // Refused by every attempt, and yet it is there: then a refusal was none.
        if (doubtSince === undefined) {
          this.#note('wrong', `entry ${write.n} is there, though each attempt was refused`)
        }
        this.#counts.landed++
        this.#acknowledge(write, outcome.engine, outcome.epoch, doubtSince ?? started, first)
        return true
      }
      if ('doubt' in outcome && outcome.doubt) {
        doubtSince ??= started
        this.#counts.doubts++
      }
      this.#count(outcome)
      if (outcome.kind === 'fenced' || outcome.kind === 'unreachable') {
        this.#side = engine === 'sqlite' ? 'postgres' : 'sqlite'
        refusals++
      }
      if (now() > this.#stoppedAt + GIVE_UP_MS) {
        this.#note('wrong', `entry ${write.n} was given up on: ${outcome.message}`)
        this.#doubtful.push({ writer: write.writer, n: write.n })
        return false
      }
      // The first refusal only says where to go.
      if (refusals !== 1) await sleep(Math.min(50, 5 * refusals) + this.#random.whole(0, 10))
    }
  }

  #acknowledge(write: Write, engine: Engine, epoch: number, started: number, first: number): void {
    const ended = now()
    this.#counts.acknowledged++
    if (engine === 'postgres') this.#counts.onPostgres++
    this.#perOperation[write.name] = (this.#perOperation[write.name] ?? 0) + 1
    this.#slowest = Math.max(this.#slowest, ended - first)
    writeSync(
      this.#file,
      `${JSON.stringify({ writer: write.writer, n: write.n, engine, epoch, started, ended })}\n`,
    )
  }

  #count(outcome: Exclude<Outcome, { kind: 'acknowledged' | 'there' }>): void {
    if (outcome.kind === 'fenced' || outcome.kind === 'again') this.#counts[outcome.kind]++
    else this.#note(outcome.kind, outcome.message)
  }

  #note(kind: 'unreachable' | 'busy' | 'full' | 'wrong', message: string): void {
    const list = this.#errors[kind]
    if (list.length < KEPT) list.push({ writer: this.#options.writer, at: now(), message })
  }
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

const given = process.argv[2]
if (given === undefined) {
  console.error('Usage: writer.ts JSON')
  process.exitCode = 2
} else {
  const writer = new Writer(JSON.parse(given) as WriterOptions)
  const input = createInterface(process.stdin)
  input.on('line', (line) => writer.command(line))
  // Whoever started us is gone.
  input.once('close', () => writer.command('stop'))
  say({ ready: true })
  const report = await writer.run()
  say({ report })
  process.stdin.destroy()
}
