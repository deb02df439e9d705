/** A change of authority as a client asks for it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Daemon, type Lag, until } from '../support/daemon.ts'
import { now } from './clock.ts'
import type { World } from './world.ts'

export type Passage = 'switchover' | 'rollback'

export interface PassageOptions {
  readonly max_pause_ms?: number
  readonly wait_seconds?: number
  readonly verify?: 'recent' | 'full' | 'none'
  readonly dry_run?: boolean
}

/** Of the answer, as far as the checker looks at it. */
export interface PassageBody {
  readonly pause_ms?: number | null
  readonly drained_changes?: number | null
  readonly epoch?: number
  readonly from?: string
  readonly to?: string
  readonly code?: string
  readonly detail?: string
  readonly guards?: readonly { readonly code: string; readonly ok: boolean; readonly value: unknown }[]
  readonly steps?: readonly { readonly step: string; readonly ms: number | null }[]
}

export interface PassageResult {
  readonly passage: Passage
  /** Undefined: the daemon did not answer to the end. */
  readonly status: number | undefined
  readonly body: PassageBody
  readonly ms: number
}

/** Asks and waits for the end; an answer that does not come is one as well. */
export async function ask(
  daemon: Daemon,
  passage: Passage,
  options: PassageOptions,
  ms = 90_000,
): Promise<PassageResult> {
  const began = now()
  // A rollback has no such guard.
  const { verify, ...asked } = options
  const body = passage === 'switchover' && verify !== undefined ? { ...asked, verify } : asked
  try {
    const token = readFileSync(join(daemon.stateDir, 'token'), 'utf8').trim()
    const response = await fetch(`${daemon.url}/${passage}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ms),
    })
    const answer = (await response.json()) as PassageBody
    return { passage, status: response.status, body: answer, ms: now() - began }
  } catch (error) {
    const detail = `${(error as Error).message} ${String((error as Error).cause ?? '')}`.trim()
    return { passage, status: undefined, body: { detail }, ms: now() - began }
  }
}

/** Below the guard's limit. */
const NEAR_SECONDS = 2

/** The change that is possible now, once the daemon is in a phase for it; undefined where it does not come to one. */
export async function possible(world: World, ms = 30_000): Promise<Passage | undefined> {
  const deadline = now() + ms
  for (;;) {
    const asked = world.daemon.process.alive ? await world.daemon.lag() : undefined
    // What was written while there was no daemon is brought over first, or the guards refuse.
    const lag =
      asked?.state === 'running' && (asked.lag_seconds ?? NEAR_SECONDS) < NEAR_SECONDS ? asked : undefined
    if (lag?.phase === 'replicating' && lag.authority === 'sqlite') return 'switchover'
    if (lag?.phase === 'switched_over' && lag.authority === 'postgres') return 'rollback'
    if (now() > deadline) return undefined
    await sleep(50)
  }
}

/** Lag zero in either direction, measured after this call. */
export async function caughtUp(world: World, ms = 30_000): Promise<Lag> {
  const asked = Date.now()
  return await world.daemon.when(
    'caught up',
    (lag) =>
      (lag.phase === 'replicating' || lag.phase === 'switched_over') &&
      lag.caught_up &&
      Date.parse(lag.measured_at) >= asked,
    ms,
  )
}

/** No change is on its way any more. */
export async function atRest(world: World, ms = 60_000): Promise<void> {
  let last: unknown
  await until(
    async () => {
      const run = await world.daemon.get<{ state: string }>('/switchover')
      last = run ?? last
      return run !== undefined && run.state !== 'running'
    },
    { ms, describe: () => `a change of authority does not end: ${JSON.stringify(last)}` },
  )
}

export function told(result: PassageResult): string {
  const { passage, status, body, ms } = result
  const end =
    status === 200
      ? `done, pause ${Math.round(body.pause_ms ?? -1)} ms, drained ${body.drained_changes}, epoch ${body.epoch}; ${stepsOf(body)}`
      : `${status ?? 'no answer'} ${body.code ?? ''} ${body.detail ?? ''}`
  const guards = (body.guards ?? []).filter((guard) => !guard.ok).map((guard) => guard.code)
  return `${passage}: ${end}${guards.length > 0 ? ` [${guards.join(', ')}]` : ''} (${Math.round(ms)} ms)`
}

/** Milliseconds of each step. */
function stepsOf({ steps }: PassageBody): string {
  return (steps ?? []).flatMap(({ step, ms }) => (ms === null ? [] : [`${step} ${ms}`])).join(', ')
}
