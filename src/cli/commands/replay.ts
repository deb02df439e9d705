import { Command } from 'commander'
import { quote } from '../../core/quote.ts'
import { maskUrl } from '../../core/secrets.ts'
import { action, type Context, given, interruptible, prepare } from '../context.ts'
import { count, duration, table } from '../format.ts'
import { helpText } from '../help.ts'
import { combine, logObserver } from '../observers.ts'

interface Options {
  readonly at: string
  readonly into: string
  readonly json?: boolean
}

const EXAMPLES = [
  'slipway replay --at 18340 --into past',
  'slipway replay --at 2026-03-01T12:00:00Z --into noon',
  'slipway replay --at latest --into copy ./news.db postgres://news@localhost/news',
]

export function replayCommand(context: Context): Command {
  const command = new Command('replay')
    .summary('rebuild a past state in a schema of its own')
    .description(
      'Reads the event history (HISTORY=on) directly from PostgreSQL; the daemon need not run, and may. ' +
        'Makes the tables as they were, with their rows and primary keys, without foreign keys and triggers.',
    )
    .argument('[sqlite]', 'database file, whose stem names the migration; default: SQLITE_PATH')
    .argument('[postgres]', 'target URL, or "embedded"; default: POSTGRES_URL')
    .requiredOption('--at <position>', 'a position as /lag shows it, a time (ISO 8601), or "latest"')
    .requiredOption('--into <schema>', 'a schema that does not exist yet, or is empty')
    .option('--json', 'answer in JSON')
    .addHelpText(
      'after',
      helpText(EXAMPLES, ['SQLITE_PATH', 'POSTGRES_URL', 'MIGRATION_NAME', 'STATE_DIR', 'LOG_LEVEL']),
    )
  return action(
    command,
    context,
    (sqlite: string | undefined, postgres: string | undefined, options: Options) =>
      run(context, given(sqlite, postgres), options),
  )
}

async function run(context: Context, positionals: readonly string[], options: Options): Promise<number> {
  const { work, terminal } = context
  const { at, into, json = false } = options
  const { config, logger } = prepare(context, { positionals, require: ['POSTGRES_URL'] })
  using interruption = interruptible((text) => logger.warn(text))
  try {
    const { url, ...outcome } = await work.replay(config, {
      at,
      into,
      observer: combine(logObserver(logger)),
      signal: interruption.signal,
    })
    if (json) terminal.json(outcome)
    else {
      const rows = outcome.tables.map((one) => [one.table, `${into}.${one.target}`, count(one.rows)])
      for (const line of table(['table', 'rebuilt as', 'rows'], rows)) terminal.answer(line)
      const batch = outcome.batch === outcome.position ? '' : `, which the batch at ${outcome.batch} had made`
      terminal.answer(
        `The state at position ${outcome.position}${batch}: ${count(outcome.tables.length, 'table')}, ` +
          `${count(outcome.rows, 'row')} in ${duration(outcome.seconds)}.`,
      )
    }
    terminal.next(`psql '${maskUrl(url)}' -c '\\dt ${quote(into).replaceAll("'", "'\\''")}.*'`, json)
    return 0
  } catch (error) {
    if (!interruption.signal.aborted) throw error
    logger.debug({ err: error }, 'interrupted')
    terminal.note('interrupted; nothing was made')
    return 130
  }
}
