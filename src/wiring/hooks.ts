import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../core/config.ts'
import { Failure, messageOf } from '../core/errors.ts'
import type { Authority, Phase } from '../core/operator.ts'
import { scrubber } from '../core/secrets.ts'
import { isAbort } from '../runtime/service.ts'

export type HookEvent =
  | 'before_switchover'
  | 'after_switchover'
  | 'before_rollback'
  | 'after_rollback'
  | 'phase'

/** What a hook is told in its environment. */
export interface HookFacts {
  readonly phase: Phase
  readonly authority: Authority
  readonly epoch: number
}

export interface HookResult {
  readonly event: HookEvent
  readonly ok: boolean
  /** One sentence where it is not ok: how it ended. Without a secret. */
  readonly reason: string
  /** The end of what it printed, without secrets. */
  readonly output: string
  readonly ms: number
}

type HookSettings = Pick<
  Config,
  'hookCommand' | 'hookTimeoutMs' | 'postgresUrl' | 'controlToken' | 'appSqliteUrl' | 'appPostgresUrl'
>

/**
 * Slipway's own secrets, which a hook has no use for: a command that sends its environment somewhere must not send
 * them. Everything else of the daemon's environment is handed on, the tokens of the hook's own services too.
 */
const WITHHELD = [
  'POSTGRES_URL',
  'CONTROL_TOKEN',
  'APP_SQLITE_URL',
  'APP_POSTGRES_URL',
  'DATABASE_URL',
  'HOOK_COMMAND',
  'PGPASSWORD',
]

/** Of what a hook prints. */
const KEPT_BYTES = 4_096
/** From SIGTERM to SIGKILL. */
const GRACE_MS = 2_000
/** What a child in the background keeps open is not waited for. */
const LINGER_MS = 200

/**
 * Runs HOOK_COMMAND by `sh -c` in a process group of its own, which is ended as a whole when the time is over or the
 * signal aborts. Resolves with how it ended; throws an AbortError when the signal aborts. Undefined without a command.
 */
export async function runHook(
  settings: HookSettings,
  event: HookEvent,
  { phase, authority, epoch }: HookFacts,
  signal: AbortSignal,
): Promise<HookResult | undefined> {
  const command = settings.hookCommand
  if (command === undefined) return undefined
  signal.throwIfAborted()
  const startedAt = performance.now()
  const env = environment({
    SLIPWAY_EVENT: event,
    SLIPWAY_PHASE: phase,
    SLIPWAY_AUTHORITY: authority,
    SLIPWAY_EPOCH: String(epoch),
  })
  const clean = cleaner(settings)
  const output = new Tail()
  const child = spawn('sh', ['-c', command], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.on('data', (chunk: Buffer) => output.add(chunk))
  child.stderr.on('data', (chunk: Buffer) => output.add(chunk))
  const reason = await ending(child, settings.hookTimeoutMs, signal)
  child.stdout.destroy()
  child.stderr.destroy()
  return {
    event,
    ok: reason === '',
    reason: clean(reason),
    output: clean(output.text),
    ms: Math.round(performance.now() - startedAt),
  }
}

/** Empty where it ended with 0. */
async function ending(child: ChildProcess, timeoutMs: number, signal: AbortSignal): Promise<string> {
  const closed = new Promise<void>((done) => child.once('close', () => done()))
  const ended = new Promise<string>((done) => {
    child.once('error', (error) => done(`it could not be started (${messageOf(error)})`))
    child.once('exit', (code, by) =>
      done(code === 0 ? '' : code === null ? `${by} ended it` : `it ended with ${code}`),
    )
  })
  const late = new AbortController()
  const over = AbortSignal.any([signal, late.signal])
  const timer = sleep(timeoutMs, 'late' as const, { signal: over })
  try {
    const first = await Promise.race([ended, timer])
    if (first !== 'late') {
      await Promise.race([closed, sleep(LINGER_MS)])
      return first
    }
    await endGroup(child, ended)
    return `it did not end within ${timeoutMs} ms (HOOK_TIMEOUT_MS)`
  } catch (error) {
    if (!isAbort(error)) throw error
    await endGroup(child, ended)
    throw error
  } finally {
    late.abort()
    timer.catch(() => undefined)
  }
}

/** A shell that is gone may have left others of its group behind: all of them get both signals. */
async function endGroup(child: ChildProcess, ended: Promise<string>): Promise<void> {
  if (child.pid === undefined) return
  kill(child.pid, 'SIGTERM')
  await Promise.race([ended, sleep(GRACE_MS)])
  kill(child.pid, 'SIGKILL')
  await ended
}

function kill(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal)
  } catch {
    // Nobody is left in it.
  }
}

function environment(own: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const env = { ...process.env, ...own }
  for (const name of WITHHELD) {
    delete env[name]
    delete env[`SLIPWAY_${name}`]
  }
  return env
}

/** The last bytes of a stream. */
class Tail {
  #kept = Buffer.alloc(0)

  add(chunk: Buffer): void {
    this.#kept = Buffer.concat([this.#kept, chunk]).subarray(-KEPT_BYTES)
  }

  get text(): string {
    return this.#kept.toString('utf8').trim()
  }
}

/** A word of the command that is long enough to be a key, such as a bot's token, which `sh -x` or curl would print. */
const LIKE_A_SECRET = /^(?=.*\d)[\w.~+-]{16,}$/

function cleaner(settings: HookSettings): (text: string) => string {
  const words = (settings.hookCommand ?? '').split(/[^\w.~+-]+/).filter((word) => LIKE_A_SECRET.test(word))
  const urls = [settings.appSqliteUrl, settings.appPostgresUrl]
  const tokens = [settings.controlToken, ...urls.flatMap((url) => [url, passwordOf(url)]), ...words]
  return scrubber({ postgresUrl: settings.postgresUrl, tokens })
}

function passwordOf(url: string | undefined): string | undefined {
  return /^[a-z][a-z0-9+.-]*:\/\/[^:/?#@]*:(.+)@/i.exec(url ?? '')?.[1]
}

interface HooksDeps {
  readonly settings: HookSettings
  readonly step: (text: string) => void
  readonly warn: (text: string, facts?: Readonly<Record<string, unknown>>) => void
}

/** Told later where they cannot run now; of more than so many the oldest goes. */
const WAITING = 100

/**
 * The hooks of one daemon: one at a time, in the order of what happened, and none while `rest` is held. A `before_*`
 * that fails refuses; what all others say is only told.
 */
export class Hooks {
  readonly #deps: HooksDeps
  readonly #stop = new AbortController()
  readonly #waiting: { readonly event: HookEvent; readonly facts: HookFacts }[] = []
  #tail: Promise<unknown> = Promise.resolve()
  #resting = 0

  constructor(deps: HooksDeps) {
    this.#deps = deps
  }

  /** Throws Failure `hook_refused` where it fails, takes too long or cannot be started. */
  async before(passage: 'switchover' | 'rollback', facts: HookFacts, signal: AbortSignal): Promise<void> {
    const event = `before_${passage}` as const
    const run = this.#tail.then(() => this.#run(event, facts, AbortSignal.any([signal, this.#stop.signal])))
    this.#tail = run.catch(() => undefined)
    const result = await run
    if (result === undefined || result.ok) return
    throw new Failure({
      code: 'hook_refused',
      status: 412,
      exit: 1,
      message: `HOOK_COMMAND refused ${event}: ${result.reason}`,
      remedy: `See what it printed in the daemon's log${result.output === '' ? ' (nothing)' : ''}, mend it, and ask again.`,
      facts: { event, reason: result.reason },
    })
  }

  /** `after_*` and `phase`: run soon, in their order; nobody waits for them. */
  tell(event: Exclude<HookEvent, `before_${string}`>, facts: HookFacts): void {
    if (this.#deps.settings.hookCommand === undefined || this.#stop.signal.aborted) return
    this.#waiting.push({ event, facts })
    if (this.#waiting.length > WAITING) {
      const dropped = this.#waiting.shift()
      this.#deps.warn(`hook ${dropped?.event} was left out: ${WAITING} others wait`)
    }
    this.#next()
  }

  /** Waits until none runs; until the answer is disposed none is started. For the pause. */
  async rest(): Promise<Disposable> {
    this.#resting++
    await this.#tail
    let held = true
    return {
      [Symbol.dispose]: () => {
        if (!held) return
        held = false
        this.#resting--
        this.#next()
      },
    }
  }

  /** Resolves when everything that was told so far has run. */
  async idle(): Promise<void> {
    while (this.#waiting.length > 0 && this.#resting === 0) await this.#tail
    await this.#tail
  }

  /** Ends what runs; nothing is started any more. */
  async stop(): Promise<void> {
    this.#stop.abort()
    this.#waiting.length = 0
    await this.#tail
  }

  #next(): void {
    if (this.#resting > 0 || this.#waiting.length === 0) return
    this.#tail = this.#tail.then(async () => {
      // A rest may have begun while this one waited for its turn.
      if (this.#resting > 0) return
      const next = this.#waiting.shift()
      if (next === undefined) return
      await this.#run(next.event, next.facts, this.#stop.signal).catch(() => undefined)
      this.#next()
    })
  }

  async #run(event: HookEvent, facts: HookFacts, signal: AbortSignal): Promise<HookResult | undefined> {
    const result = await runHook(this.#deps.settings, event, facts, signal)
    if (result === undefined) return undefined
    const printed = result.output === '' ? '' : `; it printed: ${result.output}`
    if (result.ok) this.#deps.step(`hook ${event} has run (${result.ms} ms)${printed}`)
    else this.#deps.warn(`hook ${event}: ${result.reason}${printed}`, { event, ms: result.ms })
    return result
  }
}
