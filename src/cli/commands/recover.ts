import { Command, Option } from 'commander'
import { Failure } from '../../core/errors.ts'
import { maskUrl } from '../../core/secrets.ts'
import { action, type Context, given, prepare } from '../context.ts'
import { commandLine } from '../format.ts'
import { COPY_SETTINGS, helpText } from '../help.ts'
import { combine, logObserver } from '../observers.ts'
import type { RecoverOptions } from '../work.ts'

interface Options extends Pick<RecoverOptions, 'authority'> {
  readonly acceptLoss?: boolean
  readonly json?: boolean
}

const EXAMPLES = [
  'slipway recover --authority sqlite',
  'slipway recover --authority sqlite --accept-loss',
  'slipway recover --authority postgres --accept-loss ./news.db postgres://news@localhost/news',
]

/** What a person should know before. */
const RISKS: Readonly<Record<RecoverOptions['authority'], readonly string[]>> = {
  sqlite: [
    'SQLite opens for writes in a higher epoch, with what it has now.',
    'What PostgreSQL accepted and SQLite does not have is lost to the application; it stays in PostgreSQL.',
    'Where PostgreSQL cannot be reached it cannot be closed: stop it, or every application that writes there, first.',
  ],
  postgres: [
    'PostgreSQL opens for writes in a higher epoch, with what it has now.',
    'What SQLite accepted and PostgreSQL does not have is lost to the application; it stays in the file.',
    'Every application that writes to the file has to be stopped, or told the new address, first.',
  ],
}

export function recoverCommand(context: Context): Command {
  const command = new Command('recover')
    .summary('without the daemon: say which side leads, where nothing else helps')
    .description(
      'For a person, when a server or a file was put back to an older state and slipway stopped because it cannot ' +
        'know which side is right. Works without the daemon: stop it before. Says the risk first, and does nothing ' +
        'without --accept-loss.',
    )
    .argument('[sqlite]', 'database file; default: SQLITE_PATH')
    .argument('[postgres]', 'target URL, or "embedded"; default: POSTGRES_URL')
    .addOption(
      new Option('--authority <engine>', 'the side that takes the writes from now on')
        .choices(['sqlite', 'postgres'])
        .makeOptionMandatory(),
    )
    .option('--accept-loss', 'you have read the risk')
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
  const { authority, acceptLoss = false, json = false } = options
  const { config, logger } = prepare(context, { positionals })
  for (const line of RISKS[authority]) terminal.warn(line)
  const where = positionals.map(maskUrl)
  if (!acceptLoss) {
    const again = commandLine(terminal.env, 'recover', '--authority', authority, '--accept-loss', ...where)
    terminal.error(
      new Failure({
        code: 'loss_not_accepted',
        message: 'nothing was changed: the risk was not accepted',
        remedy: 'Find out which side has the newest writes; slipway status and slipway verify help.',
      }),
      json,
    )
    terminal.next(again, json)
    return 1
  }
  const outcome = await work.recover(config, { authority, observer: combine(logObserver(logger)) })
  if (json) terminal.json(outcome)
  else {
    for (const line of outcome.done) terminal.answer(line)
    for (const warning of outcome.warnings) terminal.warn(warning)
    const engine = outcome.authority === 'sqlite' ? 'SQLite' : 'PostgreSQL'
    terminal.answer(`${engine} takes the writes, epoch ${outcome.epoch}.`)
  }
  terminal.next(commandLine(terminal.env, 'start', ...where), json)
  return 0
}
