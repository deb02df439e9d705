import { Command } from 'commander'
import { loadClientConfig } from '../../config.ts'
import { Failure } from '../../core/errors.ts'
import type { LagReport } from '../../core/operator.ts'
import { sleep } from '../../runtime/retry.ts'
import { type Client, createClient } from '../client.ts'
import { action, type Context } from '../context.ts'
import { commandLine, count, duration } from '../format.ts'
import { CLIENT_SETTINGS, helpText } from '../help.ts'
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
    .summary('show how far PostgreSQL is behind')
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
  const timeoutMs = seconds(timeout) * 1000
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
  const [command, ...args] = lag.caught_up || wait ? ['status'] : ['lag', '--wait']
  terminal.next(commandLine(terminal.env, command!, ...args), json)
  return 0
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
  let asked = lag.head
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
  if (lag.phase !== 'replicating' || lag.state !== 'running' || lag.direction !== 'forward') return false
  return asked !== null && lag.applied !== null && BigInt(lag.applied) >= BigInt(asked)
}

function seconds(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text)
  throw new Failure({
    code: 'usage',
    message: `--timeout "${text}" is not a number of seconds`,
    remedy: 'Give a number, such as --timeout 60.',
    exit: 2,
  })
}

/** After a wait: what was logged when it began is applied, and beside a writer more has come. */
function describeReached(lag: LagReport): string {
  if (lag.caught_up) return describe(lag)
  return `caught up with what there was when asked; ${count(lag.pending_changes, 'change')} came since (${lag.phase}, ${lag.state})`
}

/** One line for people. */
function describe(lag: LagReport): string {
  const why = lag.reasons.length > 0 ? `: ${lag.reasons.join('; ')}` : ''
  const where = `${lag.phase.replaceAll('_', ' ')}, ${lag.state}${why}`
  if (lag.lag_seconds === null) return `no lag before the snapshot (${where})`
  const behind = `${duration(lag.lag_seconds)} behind, ${count(lag.pending_changes, 'change')} to apply`
  return `${lag.caught_up ? 'caught up' : behind} (${where})`
}
