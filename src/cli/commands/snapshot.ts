import { Command, Option } from 'commander'
import { maskUrl } from '../../core/secrets.ts'
import { action, type Context, consentsToWal, given, interruptible, prepare } from '../context.ts'
import { commandLine, count, duration, table } from '../format.ts'
import { COPY_SETTINGS, helpText } from '../help.ts'
import { combine, logObserver } from '../observers.ts'
import { CopyProgress } from '../progress.ts'
import type { RehearsalOutcome, RehearsalStep, SnapshotOutcome } from '../work.ts'

interface Options {
  readonly once?: boolean
  readonly dryRun?: boolean
  readonly sql?: boolean
  readonly enableWal?: boolean
  readonly backup: boolean
  readonly json?: boolean
}

const EXAMPLES = [
  'slipway snapshot ./news.db postgres://news@localhost/news',
  'slipway snapshot --enable-wal',
  'slipway snapshot --dry-run',
  'slipway snapshot --sql > schema.sql',
  'slipway snapshot --once ./archive.db embedded',
]

export function snapshotCommand(context: Context): Command {
  const command = new Command('snapshot')
    .summary('copy everything, and capture what changes meanwhile')
    .description(
      'Backs the SQLite file up, installs capture, makes missing tables on PostgreSQL and copies all rows. ' +
        'Cut off at any moment, it goes on from its last chunk when run again.',
    )
    .argument('[sqlite]', 'database file; default: SQLITE_PATH')
    .argument('[postgres]', 'target URL, or "embedded"; default: POSTGRES_URL')
    .option('--dry-run', 'the whole copy into a schema of its own, compared, and dropped again')
    .addOption(
      new Option('--sql', 'print the DDL of the target tables, and change nothing').conflicts([
        'once',
        'dryRun',
        'json',
      ]),
    )
    .addOption(new Option('--once', 'copy only: no triggers, no daemon').conflicts('dryRun'))
    .option('--enable-wal', 'switch the file to WAL mode where it is not')
    .option('--no-backup', 'copy without a backup of the file')
    .option('--json', 'answer in JSON')
    .addHelpText('after', helpText(EXAMPLES, COPY_SETTINGS))
  return action(
    command,
    context,
    (sqlite: string | undefined, postgres: string | undefined, options: Options) =>
      runOf(options)(context, given(sqlite, postgres), options),
  )
}

function runOf({ sql, dryRun }: Options): typeof run {
  if (sql === true) return printSql
  return dryRun === true ? rehearse : run
}

async function run(context: Context, positionals: readonly string[], options: Options): Promise<number> {
  const { work, terminal } = context
  const { json = false, once = false } = options
  const { config, logger } = prepare(context, { positionals })
  const next = (command: string) => commandLine(terminal.env, command, ...positionals.map(maskUrl))
  using interruption = interruptible((text) => logger.warn(text))
  const { signal } = interruption
  try {
    const enableWal = await consentsToWal(context, config, options.enableWal === true, signal)
    const { live, interactive } = terminal
    using progress = new CopyProgress({ live, interactive, logger })
    const outcome = await work.snapshot(config, {
      enableWal,
      backup: options.backup,
      once,
      observer: combine(logObserver(logger), progress),
      signal,
    })
    live.pause()
    if (json) terminal.json(outcome)
    else print(context, outcome)
    if (once) terminal.next(`point the application at ${maskUrl(config.postgresUrl)}`, json)
    else terminal.next(next('start'), json)
    return 0
  } catch (error) {
    if (!signal.aborted) throw error
    logger.debug({ err: error }, 'interrupted')
    terminal.note('interrupted; what is copied is kept')
    terminal.next(next('snapshot'), true)
    return 130
  }
}

/** Stdout has the SQL and nothing else. */
async function printSql(context: Context, positionals: readonly string[]): Promise<number> {
  const { work, terminal } = context
  const { config, logger } = prepare(context, { positionals })
  using interruption = interruptible((text) => logger.warn(text))
  const observer = combine(logObserver(logger))
  const sql = await work.schemaSql(config, { observer, signal: interruption.signal })
  terminal.answer(sql.trimEnd())
  terminal.next(commandLine(terminal.env, 'snapshot', '--dry-run', ...positionals.map(maskUrl)), true)
  return 0
}

async function rehearse(
  context: Context,
  positionals: readonly string[],
  { json = false }: Options,
): Promise<number> {
  const { work, terminal } = context
  const { config, logger } = prepare(context, { positionals })
  using interruption = interruptible((text) => logger.warn(text))
  const { signal } = interruption
  try {
    const { live, interactive } = terminal
    using progress = new CopyProgress({ live, interactive, logger })
    const outcome = await work.rehearse(config, { observer: combine(logObserver(logger), progress), signal })
    live.pause()
    if (json) terminal.json(outcome)
    else printRehearsal(context, outcome)
    terminal.next(commandLine(terminal.env, 'snapshot', ...positionals.map(maskUrl)), json)
    return 0
  } catch (error) {
    if (!signal.aborted) throw error
    logger.debug({ err: error }, 'interrupted')
    terminal.note('interrupted; nothing of the rehearsal is left')
    return 130
  }
}

const STEPS: Readonly<Record<RehearsalStep, string>> = {
  file: 'copy and check of the file',
  values: 'look at the values',
  copy: 'rows',
  keys: 'keys',
  indexes: 'indexes',
  checks: 'CHECKs',
  foreign_keys: 'foreign keys',
  verify: 'comparison of every value',
}

function printRehearsal({ terminal }: Context, outcome: RehearsalOutcome): void {
  const rows = outcome.tables.map(({ table: name, target, rows, aside }) => [
    name,
    target,
    count(rows),
    aside === 0 ? '' : count(aside),
  ])
  const left = outcome.tables.some(({ aside }) => aside > 0)
  const header = ['table', 'target', 'rows', ...(left ? ['set aside'] : [])]
  for (const line of table(
    header,
    rows.map((row) => row.slice(0, header.length)),
  ))
    terminal.answer(line)
  terminal.answer('')
  for (const line of table(
    ['step', 'time'],
    outcome.steps.map(({ step, seconds }) => [STEPS[step], duration(seconds)]),
  ))
    terminal.answer(line)
  for (const { severity, message } of outcome.findings) if (severity !== 'info') terminal.warn(message)
  const sum = `${count(outcome.tables.length, 'table')}, ${count(outcome.rows, 'row')}`
  terminal.answer(
    `Rehearsed ${sum} in ${duration(outcome.seconds)}: every value equal, nothing is left of it.`,
  )
}

function print({ terminal }: Context, outcome: SnapshotOutcome): void {
  const rows = outcome.tables.map(({ table: name, target, rows }) => [name, target, count(rows)])
  for (const line of table(['table', 'target', 'rows'], rows)) terminal.answer(line)
  for (const warning of outcome.warnings) terminal.warn(warning)
  if (outcome.backupPath !== null) terminal.answer(`backup: ${outcome.backupPath}`)
  const sum = `${count(outcome.tables.length, 'table')}, ${count(outcome.rows, 'row')}`
  if (outcome.already) terminal.answer(`The snapshot is complete already: ${sum}. Nothing was changed.`)
  else terminal.answer(`Copied ${sum} in ${duration(outcome.seconds)}.`)
}
