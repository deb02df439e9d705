import { Command } from 'commander'
import { Failure } from '../../core/errors.ts'
import type { QuarantineReport } from '../../core/operator.ts'
import { action, type Context, dial } from '../context.ts'
import { commandLine, count, printable, table } from '../format.ts'
import { CLIENT_SETTINGS, helpText } from '../help.ts'

interface Options {
  readonly json?: boolean
}

const MOST = 1000
const EXAMPLES = [
  'slipway quarantine',
  'slipway quarantine --limit 1000 --json | jq -r ".entries[].key"',
  'slipway quarantine retry',
]

export function quarantineCommand(context: Context): Command {
  const command = new Command('quarantine')
    .summary('show the rows that the other engine cannot hold')
    .description(
      'Lists the rows that are set aside, each with its reason, as the daemon at CONTROL_URL knows them. A row ' +
        'leaves the list by itself as soon as it is changed, in the engine that leads, to something that fits.',
    )
    .option('--limit <rows>', `how many to list, ${MOST} at most`, '100')
    .option('--json', 'answer in JSON')
    .addHelpText('after', helpText(EXAMPLES, CLIENT_SETTINGS))
  command.addCommand(retry(context))
  return action(command, context, (options: Options & { readonly limit: string }) => list(context, options))
}

function retry(context: Context): Command {
  const command = new Command('retry')
    .summary('transfer them once more')
    .description(
      'Transfers every row that is set aside once more, for instance after a constraint of PostgreSQL was changed. ' +
        'The exit code is 1 where some are still set aside.',
    )
    .option('--json', 'answer in JSON')
    .addHelpText('after', helpText(['slipway quarantine retry'], CLIENT_SETTINGS))
  return action(command, context, (options: Options) => tryAgain(context, options))
}

async function list(context: Context, options: Options & { readonly limit: string }): Promise<number> {
  const { terminal } = context
  const { json = false } = options
  const limit = rows(options.limit)
  const report = await (await dial(context)).quarantine(limit)
  if (json) terminal.json(report)
  else for (const line of describe(report)) terminal.answer(line)
  const next = report.total === 0 ? ['verify'] : ['quarantine', 'retry']
  terminal.next(commandLine(terminal.env, next[0]!, ...next.slice(1)), json)
  return 0
}

async function tryAgain(context: Context, { json = false }: Options): Promise<number> {
  const { terminal } = context
  const { tried, left } = await (await dial(context)).retryQuarantine()
  if (json) terminal.json({ tried, left })
  else if (tried === 0) terminal.answer('Nothing is set aside.')
  else {
    const rest = left === 0 ? 'none is set aside any more' : `${count(left)} still set aside`
    terminal.answer(`${count(tried, 'row')} tried again, ${rest}.`)
  }
  terminal.next(commandLine(terminal.env, left === 0 ? 'verify' : 'quarantine'), json)
  return left === 0 ? 0 : 1
}

function rows(text: string): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (number >= 1 && number <= MOST) return number
  throw new Failure({
    code: 'usage',
    message: `--limit "${text}" is not a number of rows from 1 to ${MOST}`,
    remedy: 'Give a whole number, such as --limit 100.',
    exit: 2,
  })
}

/** The report as lines for people. */
function describe({ direction, total, blocking, tables, entries }: QuarantineReport): string[] {
  if (total === 0) return ['Nothing is set aside.']
  const lines = table(
    ['table', 'key', 'column', 'kind', 'reason', 'value', 'since'],
    entries.map((entry) => [
      printable(entry.table),
      printable(entry.key),
      printable(entry.column ?? ''),
      entry.blocking ? entry.kind : `${entry.kind}, stays behind`,
      printable(entry.reason),
      printable(entry.value ?? ''),
      entry.since,
    ]),
  )
  if (entries.length < total) {
    const sums = tables.map((one) => `${printable(one.table)} ${count(one.rows)}`).join(', ')
    lines.push(`… ${count(entries.length)} of ${count(total)} (${sums}); --limit shows more.`)
  }
  const blocked = blocking === 0 ? 'none of them blocks' : `${count(blocking)} of them block`
  const passage = direction === 'reverse' ? 'rollback' : 'switchover'
  lines.push('', `${count(total, 'row')} set aside; ${blocked} a ${passage}.`)
  return lines
}
