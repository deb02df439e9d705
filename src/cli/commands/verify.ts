import { Command } from 'commander'
import { loadClientConfig } from '../../config.ts'
import { Failure } from '../../core/errors.ts'
import type { VerifyReport, VerifyRequest } from '../../core/operator.ts'
import { sleep } from '../../runtime/retry.ts'
import { type Client, createClient } from '../client.ts'
import { action, type Context } from '../context.ts'
import { commandLine, count } from '../format.ts'
import { CLIENT_SETTINGS, helpText } from '../help.ts'
import { Interruption } from '../signals.ts'
import type { Terminal } from '../terminal.ts'
import { VerifyProgress } from '../verify-progress.ts'
import { remaining, resultLines } from '../verify-report.ts'

interface Options {
  readonly repair?: boolean
  readonly table?: readonly string[]
  readonly wait: boolean
  readonly json?: boolean
}

const ASK_EVERY_MS = 250
/** A daemon that restarts goes on with the run: it is waited for that long. */
const PATIENCE_MS = 30_000
const EXAMPLES = [
  'slipway verify',
  'slipway verify --table articles --table digests',
  'slipway verify --repair',
  'slipway verify --json | jq .samples',
]

export function verifyCommand(context: Context): Command {
  const command = new Command('verify')
    .summary('compare every row of both databases, while both go on')
    .description(
      'Asks the daemon at CONTROL_URL to compare source and target row by row, value by value, at one moment per ' +
        'range of keys, and waits for the result. The exit code is 0 where nothing differs, or all of it was ' +
        'repaired, and 1 where rows differ. Ctrl-C ends the waiting only.',
    )
    .option('--repair', 'transfer the rows that differ once more')
    .option('--table <name...>', 'this table of the source; may be given several times')
    .option('--no-wait', 'start it, and do not wait for the result')
    .option('--json', 'answer in JSON')
    .addHelpText('after', helpText(EXAMPLES, CLIENT_SETTINGS))
  return action(command, context, (options: Options) => run(context, options))
}

async function run({ terminal }: Context, options: Options): Promise<number> {
  const { repair = false, table: tables, wait, json = false } = options
  const config = loadClientConfig({ env: terminal.env })
  terminal.protect({ tokens: [config.controlToken] })
  const client = await createClient(config)
  using progress = new VerifyProgress(terminal)
  using interruption = new Interruption({
    deadlineMs: 1000,
    onFirst: () => {
      terminal.live.pause()
      terminal.note('no longer waiting; a run that has begun goes on in the daemon')
    },
  })
  const run = await begin(client, { tables, repair }, terminal)
  if (!wait) {
    if (json) terminal.json(run)
    else terminal.answer(`verify is running: ${count(run.tables.length, 'table')} to compare`)
    terminal.next(commandLine(terminal.env, 'verify'), json)
    return 0
  }
  const report = await follow(client, run, progress, terminal, interruption.signal)
  if (report === undefined) {
    terminal.next(commandLine(terminal.env, 'verify'), true)
    return 130
  }
  if (json) terminal.json(report)
  else if (report.state === 'done') for (const line of resultLines(report)) terminal.answer(line)
  // With --json the answer is the report alone.
  if (report.state === 'failed') terminal.error(failed(report))
  const [command, ...args] = followUp(report, tables)
  terminal.next(commandLine(terminal.env, command, ...args), json)
  return report.state === 'done' && remaining(report) === 0 ? 0 : 1
}

/** A run that is going on already is the one that is wanted, where nothing special was asked for. */
async function begin(client: Client, request: VerifyRequest, terminal: Terminal): Promise<VerifyReport> {
  try {
    return await client.startVerify(request)
  } catch (error) {
    if (!(error instanceof Failure) || error.status !== 409) throw error
    if (request.repair || request.tables !== undefined) throw error
    const run = await client.verification()
    if (run.state !== 'running' && run.state !== 'interrupted') throw error
    terminal.note(`a run is going on already (${run.reason || 'no reason was given'}): this is the one`)
    return run
  }
}

/** Waits for the end of the run. Undefined once the signal has aborted. */
async function follow(
  client: Client,
  run: VerifyReport,
  progress: VerifyProgress,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<VerifyReport | undefined> {
  let report = run
  let quiet: { readonly since: number; readonly error: unknown } | undefined
  while (!signal.aborted) {
    progress.show(report)
    if (report.state === 'done' || report.state === 'failed') return report
    await sleep(ASK_EVERY_MS, signal)
    let error: unknown
    try {
      report = await client.verification()
      if (report.state === 'interrupted') error = interrupted()
    } catch (caught) {
      if (!(caught instanceof Failure) || caught.code !== 'daemon_unreachable') throw caught
      error = caught
    }
    if (signal.aborted) break
    if (error === undefined) quiet = undefined
    else if (quiet === undefined) {
      quiet = { since: performance.now(), error }
      terminal.note('the run is interrupted; waiting for the daemon to go on with it')
    } else if (performance.now() - quiet.since > PATIENCE_MS) throw error
    if (report.id !== run.id) throw replaced()
  }
  return undefined
}

function followUp(
  report: VerifyReport,
  tables: readonly string[] = [],
): [command: string, ...args: string[]] {
  if (report.state === 'failed') return ['status']
  if (remaining(report) > 0) return ['verify', '--repair', ...tables.flatMap((name) => ['--table', name])]
  if (report.mismatched > 0) return ['verify', ...tables.flatMap((name) => ['--table', name])]
  return [report.quarantined > 0 ? 'quarantine' : 'status']
}

function failed({ error }: VerifyReport): Failure {
  return new Failure({
    code: 'verify_failed',
    message: `verify failed: ${error ?? 'no reason was given'}`,
    remedy: 'slipway status tells more; run slipway verify again once that is mended.',
    exit: 1,
  })
}

function interrupted(): Failure {
  return new Failure({
    code: 'verify_interrupted',
    message: `verify has been interrupted for more than ${PATIENCE_MS / 1000} s`,
    remedy: 'slipway status tells what the daemon waits for; the run goes on by itself after that.',
    exit: 1,
  })
}

function replaced(): Failure {
  return new Failure({
    code: 'verify_replaced',
    message: 'the run that was waited for has ended, and another one has begun',
    remedy: 'Run slipway verify again: it waits for that one.',
    exit: 1,
  })
}
