import { Command } from 'commander'
import { loadClientConfig } from '../../config.ts'
import type { StatusReport } from '../../core/operator.ts'
import { sleep } from '../../runtime/retry.ts'
import { createClient } from '../client.ts'
import { action, type Context } from '../context.ts'
import { bytes, commandLine, count, duration, table } from '../format.ts'
import { CLIENT_SETTINGS, helpText } from '../help.ts'
import { Interruption } from '../signals.ts'
import { verifyLine } from '../verify-report.ts'

interface Options {
  readonly watch?: boolean
  readonly json?: boolean
}

const EXAMPLES = ['slipway status', 'slipway status --watch', 'slipway status --json | jq .tables']

export function statusCommand(context: Context): Command {
  const command = new Command('status')
    .summary('show everything that the daemon knows')
    .description('Asks the daemon at CONTROL_URL.')
    .option('--watch', 'again each second, until Ctrl-C')
    .option('--json', 'answer in JSON; with --watch a line each second')
    .addHelpText('after', helpText(EXAMPLES, CLIENT_SETTINGS))
  return action(command, context, (options: Options) => run(context, options))
}

async function run({ terminal }: Context, { watch = false, json = false }: Options): Promise<number> {
  const config = loadClientConfig({ env: terminal.env })
  terminal.protect({ tokens: [config.controlToken] })
  const client = await createClient(config)
  if (watch) {
    using interruption = new Interruption({ deadlineMs: 1000, onFirst: () => {} })
    while (!interruption.signal.aborted && !terminal.readerGone) {
      const status = await client.status()
      if (json) terminal.json(status, 0)
      else if (terminal.interactive) terminal.live.update(render(status, terminal.env))
      else terminal.answer([...render(status, terminal.env), ''].join('\n'))
      await sleep(1000, interruption.signal)
    }
    return interruption.signal.aborted ? 130 : 0
  }
  const status = await client.status()
  if (json) terminal.json(status)
  else for (const line of render(status, terminal.env)) terminal.answer(line)
  terminal.next(commandLine(terminal.env, ...followUp(status)), json)
  return 0
}

function followUp(status: StatusReport): [command: string, ...args: string[]] {
  if (status.state === 'paused') return ['replication', 'resume']
  return status.phase === 'snapshotting' ? ['status', '--watch'] : ['lag', '--wait']
}

/** The report as lines for people. */
function render(status: StatusReport, env: NodeJS.ProcessEnv): string[] {
  const { source, target, backup, snapshot, last_error: error } = status
  const facts: [string, string][] = [
    ['migration', `${status.migration}, ${status.phase.replaceAll('_', ' ')}, ${describeState(status)}`],
    ['authority', `${status.authority} (epoch ${status.epoch})`],
    ['lag', describeLag(status)],
    ['position', `${status.applied ?? '–'} applied of ${status.head ?? '–'}`],
    [
      'source',
      `${source.path}, ${source.journal_mode}, WAL ${bytes(source.wal_bytes)}, ${count(source.changelog_rows, 'change')} kept`,
    ],
    ['target', `${target.server}, schema ${target.schema}, PostgreSQL ${target.server_version}`],
    ['holder', `${status.holder.id}${status.holder.mine ? ', this daemon' : ', another daemon'}`],
  ]
  if (snapshot !== null) {
    facts.push(['snapshot', `${count(snapshot.rows, 'row')}, ${snapshot.finished_at ?? 'not finished'}`])
  }
  if (backup !== null) facts.push(['backup', `${backup.path}, ${bytes(backup.bytes)}, ${backup.at}`])
  for (const fence of status.fences) {
    const reasons = fence.reasons.length > 0 ? ` (${fence.reasons.join('; ')})` : ''
    facts.push(['fence', `${fence.engine} ${fence.closed ? 'closed' : 'open'}${reasons}`])
  }
  for (const wait of status.waits) {
    facts.push(['waiting', `${wait.what}, since ${wait.since}${wait.until ? `, until ${wait.until}` : ''}`])
  }
  if (status.verify !== null) facts.push(['verify', verifyLine(status.verify)])
  for (const one of status.dirty) facts.push(['dirty', `${one.table}: ${one.reason}`])
  if (status.quarantined > 0) {
    const command = commandLine(env, 'quarantine')
    facts.push(['quarantine', `${count(status.quarantined, 'row')} set aside; ${command} lists them`])
  }
  for (const warning of status.warnings) facts.push(['warning', warning])
  if (error !== null) {
    facts.push(['last error', `${error.message} (${error.code}, ${error.at})`])
    if (error.remedy !== null) facts.push(['remedy', error.remedy])
  }
  const rows = status.tables.map((one) => [
    one.target === one.table ? one.table : `${one.table} → ${one.target}`,
    one.state,
    count(one.rows_copied),
    count(one.rows_expected),
    one.rows_per_second === null ? '' : count(one.rows_per_second),
    one.eta_seconds === null ? '' : duration(one.eta_seconds),
  ])
  return [
    ...facts.map(([name, value]) => `${name.padEnd(10)}  ${value}`),
    '',
    ...table(['table', 'state', 'copied', 'expected', 'rows/s', 'left'], rows),
  ]
}

function describeState({ state, reasons }: StatusReport): string {
  return reasons.length > 0 ? `${state} (${reasons.join('; ')})` : state
}

function describeLag({
  lag_seconds: seconds,
  pending_changes: pending,
  caught_up: caughtUp,
}: StatusReport): string {
  if (seconds === null) return 'not known before the snapshot'
  return `${duration(seconds)}, ${count(pending, 'change')} to apply${caughtUp ? ', caught up' : ''}`
}
