import { Command } from 'commander'
import { loadClientConfig } from '../../config.ts'
import { Failure } from '../../core/errors.ts'
import type { LagReport } from '../../core/operator.ts'
import { covers } from '../../core/pg-snapshot.ts'
import { sleep } from '../../runtime/retry.ts'
import { type Client, createClient } from '../client.ts'
import { action, type Context } from '../context.ts'
import { commandLine, count, duration } from '../format.ts'
import { CLIENT_SETTINGS, helpText } from '../help.ts'
import { numberOption } from '../options.ts'
import { Interruption } from '../signals.ts'

interface Options {
  readonly wait?: boolean
  readonly timeout: string
  readonly json?: boolean
}

const ASK_EVERY_MS = 200
const EXAMPLES = [
  'slipway lag',
  'slipway lag --wait --timeout 60',
  'slipway lag --json | jq .pending_changes',
]

export function lagCommand(context: Context): Command {
  const command = new Command('lag')
    .summary('show how far the other side is behind')
    .description('Asks the daemon at CONTROL_URL.')
    .option('--wait', 'until nothing is left to apply')
    .option('--timeout <seconds>', 'how long to wait; 1 is the exit code when it was not enough', '300')
    .option('--json', 'answer in JSON')
    .addHelpText('after', helpText(EXAMPLES, CLIENT_SETTINGS))
  return action(command, context, (options: Options) => run(context, options))
}

async function run({ terminal }: Context, { wait = false, timeout, json = false }: Options): Promise<number> {
  const config = loadClientConfig({ env: terminal.env })
  terminal.protect({ tokens: [config.controlToken] })
  const limits = { name: '--timeout', unit: 'seconds', min: 0, max: 2_147_483 }
  const timeoutMs = numberOption(limits, timeout) * 1000
  const client = await createClient(config)
  using interruption = new Interruption({ deadlineMs: 1000, onFirst: () => {} })
  const answer = wait
    ? await caughtUp(client, timeoutMs, interruption.signal)
    : { lag: await client.lag(), reached: true }
  if (answer === undefined) return 130
  const { lag, reached } = answer
  const late = wait && !reached
  if (!late && json) terminal.json(lag)
  else if (!late) terminal.answer(wait ? describeReached(lag) : describe(lag))
  if (late) {
    throw new Failure({
      code: 'lag_timeout',
      message: `not caught up within ${timeout} s: ${describe(lag)}`,
      remedy: 'slipway status tells what it waits for; --timeout waits longer.',
      exit: 1,
    })
  }
  terminal.next(commandLine(terminal.env, ...followUp(lag, wait)), json)
  return 0
}

function followUp(lag: LagReport, waited: boolean): [command: string, ...args: string[]] {
  if (!lag.caught_up && !waited) return ['lag', '--wait']
  // What comes before a switchover; on the way back there is nothing that has to follow.
  return lag.phase === 'replicating' ? ['verify'] : ['status']
}

interface Waited {
  readonly lag: LagReport
  readonly reached: boolean
}

/**
 * Waits until everything is applied that was logged when it was asked: beside steady writes there is always a
 * newest change that is not. Undefined once the signal has aborted.
 */
async function caughtUp(client: Client, timeoutMs: number, signal: AbortSignal): Promise<Waited | undefined> {
  const end = performance.now() + timeoutMs
  // The first answer must come. Later the daemon may be away for a moment: it is restarted, perhaps.
  let lag = await client.lag()
  let { head: asked, direction } = lag
  let lost: unknown
  while (!hasReached(lag, asked) || lost !== undefined) {
    const left = end - performance.now()
    if (left <= 0) {
      if (lost !== undefined) throw lost
      return { lag, reached: false }
    }
    await sleep(Math.min(ASK_EVERY_MS, left), signal)
    if (signal.aborted) return undefined
    try {
      lag = await client.lag()
      // Positions of the other direction say nothing here.
      if (lag.direction !== direction) ({ head: asked, direction } = lag)
      asked ??= lag.head
      lost = undefined
    } catch (error) {
      if (!(error instanceof Failure) || error.code !== 'daemon_unreachable') throw error
      lost = error
    }
  }
  return { lag, reached: true }
}

function hasReached(lag: LagReport, asked: LagReport['head']): boolean {
  if (lag.caught_up) return true
  const phase = lag.direction === 'forward' ? 'replicating' : 'switched_over'
  if (lag.phase !== phase || lag.state !== 'running') return false
  return asked !== null && lag.applied !== null && covers(lag.applied, asked)
}

/** After a wait: what was logged when it began is applied, and beside a writer more has come. */
function describeReached(lag: LagReport): string {
  if (lag.caught_up) return describe(lag)
  return `caught up with what there was when asked; ${count(lag.pending_changes, 'change')} came since (${lag.phase}, ${lag.state})`
}

/** One line for people. */
function describe(lag: LagReport): string {
  const why = lag.reasons.length > 0 ? `: ${lag.reasons.join('; ')}` : ''
  const back = lag.direction === 'reverse' ? ', on the way back to SQLite' : ''
  const where = `${lag.phase.replaceAll('_', ' ')}, ${lag.state}${back}${why}`
  if (lag.lag_seconds === null) return `no lag before the snapshot (${where})`
  const behind = `${duration(lag.lag_seconds)} behind, ${count(lag.pending_changes, 'change')} to apply`
  return `${lag.caught_up ? 'caught up' : behind} (${where})`
}
