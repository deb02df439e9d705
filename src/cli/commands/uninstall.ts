import { Command } from 'commander'
import { maskUrl } from '../../core/secrets.ts'
import { action, type Context, given, prepare } from '../context.ts'
import { commandLine, count } from '../format.ts'
import { COPY_SETTINGS, helpText } from '../help.ts'
import { combine, logObserver } from '../observers.ts'

interface Options {
  readonly yes?: boolean
  readonly sqliteOnly?: boolean
  readonly json?: boolean
}

const EXAMPLES = ['slipway uninstall', 'slipway uninstall --yes ./news.db postgres://news@localhost/news']

export function uninstallCommand(context: Context): Command {
  const command = new Command('uninstall')
    .summary('take everything of slipway out of both databases')
    .description(
      'Removes triggers, changelog and control tables. The rows that were copied stay in PostgreSQL. ' +
        'Stop the daemon before.',
    )
    .argument('[sqlite]', 'database file; default: SQLITE_PATH')
    .argument('[postgres]', 'target URL, or "embedded"; default: POSTGRES_URL')
    .option('--yes', 'do not ask')
    .option('--sqlite-only', 'PostgreSQL is gone for good: clean the file alone')
    .option('--json', 'answer in JSON')
    .addHelpText('after', helpText(EXAMPLES, COPY_SETTINGS.slice(0, 5)))
  return action(
    command,
    context,
    (sqlite: string | undefined, postgres: string | undefined, options: Options) =>
      run(context, given(sqlite, postgres), options),
  )
}

async function run(context: Context, positionals: readonly string[], options: Options): Promise<number> {
  const { work, terminal } = context
  const { yes = false, json = false } = options
  const { config, logger } = prepare(context, { positionals })
  if (!yes && !(await agreed(context, config.sqlitePath))) {
    terminal.note('Nothing was changed.')
    return 1
  }
  const outcome = await work.uninstall(config, {
    observer: combine(logObserver(logger)),
    sqliteOnly: options.sqliteOnly === true,
  })
  if (json) terminal.json(outcome)
  else {
    for (const engine of ['sqlite', 'postgres'] as const) {
      terminal.answer(`${engine}: ${count(outcome[engine].length, 'object')} removed`)
      for (const name of outcome[engine]) terminal.answer(`  ${name}`)
    }
    for (const warning of outcome.warnings) terminal.warn(warning)
  }
  terminal.next(commandLine(terminal.env, 'snapshot', ...positionals.map(maskUrl)), json)
  return 0
}

/** A person at a terminal is asked; a script that says `uninstall` means it. */
async function agreed({ terminal }: Context, file: string): Promise<boolean> {
  if (!terminal.canAsk) return true
  return terminal.confirm(`Take slipway out of ${file} and out of PostgreSQL? Replication ends.`)
}
