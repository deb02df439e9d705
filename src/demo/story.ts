/** The play: a newsroom that writes all the time is moved by slipway's own command line, and a kill -9. */
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { compareDatabases } from './compare.ts'
import { LagWatch } from './lag-watch.ts'
import type { Child, ChildOptions, Children } from './processes.ts'
import { type DemoFacts, seconds } from './report.ts'
import type { Tally } from './writer.ts'

export interface Scene {
  readonly dir: string
  /** Tells the audience what has just happened. */
  readonly say: (text: string) => void
  /** Aborted by Ctrl-C and when time is up. */
  readonly signal: AbortSignal
  readonly children: Children
  readonly sqlitePath: string
  readonly postgresUrl: string
  /** Of what the writer writes. */
  readonly seed: number
}

const WRITES_PER_SECOND = 150
const REPLICATE_MS = 5_000
const AFTER_KILL_MS = 3_000

const PACKAGED = import.meta.url.endsWith('.js')
const WRITER = fileURLToPath(new URL(PACKAGED ? 'writer.js' : 'writer.ts', import.meta.url))
const SLIPWAY = fileURLToPath(
  new URL(PACKAGED ? '../../../src/cli/bin.js' : '../cli/bin.js', import.meta.url),
)

export class Story {
  readonly #scene: Scene
  #port = 0
  #tally: Tally | undefined
  #daemon: Child | undefined

  constructor(scene: Scene) {
    this.#scene = scene
  }

  /** From the first write to the comparison; the daemon still runs then. */
  async tell(): Promise<DemoFacts> {
    const { say, sqlitePath, postgresUrl, seed } = this.#scene
    this.#port = await freePort()

    const writer = this.#startWriter(seed)
    await this.#until(() => (this.#tally?.acknowledged ?? 0) > 0, writer, 'the first writes')
    say(`A process writes to it ${WRITES_PER_SECOND} times a second, from now to the end`)

    const copySeconds = await this.#snapshot()
    say(`slipway snapshot --enable-wal: copied in ${seconds(copySeconds)}`)

    using watch = new LagWatch(this.#controlUrl)
    await this.#startDaemon(watch)
    say('slipway start: what was written meanwhile is in, changes are followed')
    await this.#pause(REPLICATE_MS, writer)
    say(`lag: median ${seconds(watch.median)}, highest ${seconds(watch.highest)}`)

    await this.#killDaemon()
    say('kill -9: the daemon is gone in the middle of its work; the newsroom writes on')
    const caughtUpSeconds = await this.#startDaemon(watch)
    say(`slipway start: caught up again within ${seconds(caughtUpSeconds)}`)
    await this.#pause(AFTER_KILL_MS, writer)

    const tally = await this.#stopWriter(writer)
    const drainSeconds = await this.#applied(watch, 'lag zero after the last write')
    say('The newsroom rests, and lag is zero: every value is compared')
    const comparison = await compareDatabases({ sqlite: sqlitePath, postgresUrl, schema: 'public' })
    const lag = { medianLagSeconds: watch.median, highestLagSeconds: watch.highest }
    return { comparison, tally, copySeconds, caughtUpSeconds, drainSeconds, ...lag }
  }

  /** Stops the daemon as an init system would. Throws when it does not end in order. */
  async end(): Promise<void> {
    const end = await this.#daemon?.stop()
    if (end !== 0) throw await this.#daemon!.failure(`did not stop in order (${end})`)
  }

  /** Lets the newsroom write again and says where everything is; resolves when the signal aborts. */
  async stay(print: (line: string) => void, signal: AbortSignal): Promise<void> {
    const { dir, sqlitePath, postgresUrl, seed } = this.#scene
    this.#startWriter(seed + 1)
    print('')
    print('It all keeps running, and the newsroom writes again, until you press Ctrl-C:')
    print(`  slipway     ${this.#controlUrl} (POST needs the token in ${join(dir, 'state', 'token')})`)
    print(`  SQLite      ${sqlitePath}`)
    const shown = new URL(postgresUrl)
    shown.password = ''
    print(`  PostgreSQL  ${shown.href} (its password is in ${join(dir, 'postgres', 'password')})`)
    print(`  logs        ${join(dir, 'logs')}`)
    await aborted(signal)
  }

  get #controlUrl(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Seconds that the command took. */
  async #snapshot(): Promise<number> {
    const began = performance.now()
    const snapshot = this.#slipway('snapshot', '--enable-wal')
    await this.#until(() => !snapshot.running, undefined, 'the snapshot')
    const end = await snapshot.ended
    if (end !== 0) throw await snapshot.failure(`ended with ${end}`)
    return (performance.now() - began) / 1_000
  }

  /** Starts it and waits until it has caught up; seconds that this took. */
  async #startDaemon(watch: LagWatch): Promise<number> {
    this.#daemon = this.#slipway('start')
    return await this.#applied(watch, 'the daemon to catch up')
  }

  async #killDaemon(): Promise<void> {
    this.#daemon!.kill()
    await this.#daemon!.ended
  }

  /** Seconds until everything that has been written by now is in PostgreSQL. */
  async #applied(watch: LagWatch, what: string): Promise<number> {
    const began = performance.now()
    await this.#until(watch.fromNow(), this.#daemon, what)
    return (performance.now() - began) / 1_000
  }

  async #stopWriter(writer: Child): Promise<Tally> {
    await writer.assertRunning()
    const end = await writer.stop()
    if (end !== 0 || !this.#tally?.final) throw await writer.failure(`did not stop in order (${end})`)
    return this.#tally
  }

  #slipway(...args: readonly string[]): Child {
    const { dir, sqlitePath, postgresUrl } = this.#scene
    const env = {
      SQLITE_PATH: sqlitePath,
      POSTGRES_URL: postgresUrl,
      STATE_DIR: join(dir, 'state'),
      CONTROL_PORT: String(this.#port),
      HISTORY: 'on',
      LOG_FORMAT: 'json',
    }
    return this.#start({ name: `slipway ${args.join(' ')}`, script: SLIPWAY, args, env })
  }

  #startWriter(seed: number): Child {
    const args = [this.#scene.sqlitePath, String(seed), String(WRITES_PER_SECOND)]
    const onLine = (line: string) => {
      this.#tally = JSON.parse(line) as Tally
    }
    return this.#start({ name: 'the writer', script: WRITER, args, onLine })
  }

  #start(options: Pick<ChildOptions, 'name' | 'script' | 'args' | 'env' | 'onLine'>): Child {
    const { children, dir } = this.#scene
    const logFile = join(dir, 'logs', `${options.name.replaceAll(/\W+/g, '-')}.log`)
    // In the demo's own folder, where no `.env` of somebody else is read.
    return children.start({ ...options, cwd: dir, logFile })
  }

  /** Waits, within the demo's deadline. Throws when the process that it depends on has ended. */
  async #until(done: () => boolean, child: Child | undefined, what: string): Promise<void> {
    while (!done()) {
      await child?.assertRunning()
      await sleep(20)
      if (this.#scene.signal.aborted) throw new Error(`waited for ${what}`)
    }
  }

  async #pause(ms: number, writer: Child): Promise<void> {
    await sleep(ms, undefined, { signal: this.#scene.signal })
    await writer.assertRunning()
    await this.#daemon?.assertRunning()
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
