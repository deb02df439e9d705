import { Command } from 'commander'
import type { Assessment } from '../../core/assess/assessment.ts'
import { maskUrl } from '../../core/secrets.ts'
import { assessmentLines } from '../assessment.ts'
import { action, type Context, given, interruptible, prepare } from '../context.ts'
import { commandLine } from '../format.ts'
import { ASSESS_SETTINGS, helpText } from '../help.ts'
import { combine, logObserver } from '../observers.ts'
import { CopyProgress } from '../progress.ts'

interface Options {
  readonly writePlan?: boolean
  readonly force?: boolean
  readonly strict?: boolean
  readonly json?: boolean
}

/** Something blocks; with --strict, something will be different. */
const BLOCKED = 3
const WARNED = 4

const EXAMPLES = [
  'slipway assess ./news.db postgres://news@localhost/news',
  'slipway assess --write-plan',
  'slipway assess --strict --json | jq .sentence',
]

export function assessCommand(context: Context): Command {
  const command = new Command('assess')
    .summary('say what will not fit, before anything is moved')
    .description(
      'Looks at every value of the SQLite file and at both schemas, and changes nothing. Exit code 0 where ' +
        'nothing blocks, 3 where something does, 4 with --strict where something will be different.',
    )
    .argument('[sqlite]', 'database file; default: SQLITE_PATH')
    .argument('[postgres]', 'target URL, or "embedded"; default: POSTGRES_URL')
    .option('--write-plan', 'write the plan that is proposed to PLAN_FILE')
    .option('--force', 'with --write-plan: over a plan that was edited')
    .option('--strict', 'exit 4 where there are warnings')
    .option('--json', 'answer in JSON')
    .addHelpText('after', helpText(EXAMPLES, ASSESS_SETTINGS))
  return action(
    command,
    context,
    (sqlite: string | undefined, postgres: string | undefined, options: Options) =>
      run(context, given(sqlite, postgres), options),
  )
}

async function run(context: Context, positionals: readonly string[], options: Options): Promise<number> {
  const { work, terminal } = context
  const { json = false, strict = false, writePlan = false, force = false } = options
  const { config, logger } = prepare(context, { positionals })
  const places = positionals.map(maskUrl)
  const next = (command: string, ...args: string[]) => commandLine(terminal.env, command, ...args, ...places)
  using interruption = interruptible((text) => logger.warn(text))
  const { signal } = interruption
  try {
    const { live, interactive } = terminal
    using progress = new CopyProgress({ live, interactive, logger, done: 'looked at' })
    const observer = combine(logObserver(logger), progress)
    const assessment = await work.assess(config, { writePlan, force, observer, signal })
    live.pause()
    if (json) terminal.json(assessment)
    else for (const line of assessmentLines(assessment)) terminal.answer(line)
    terminal.next(next(...following(assessment)), json)
    if (assessment.summary.blocks > 0) return BLOCKED
    return strict && assessment.summary.warns > 0 ? WARNED : 0
  } catch (error) {
    if (!signal.aborted) throw error
    logger.debug({ err: error }, 'interrupted')
    terminal.note('interrupted; nothing was changed')
    terminal.next(next('assess'), true)
    return 130
  }
}

/** The command that usually follows. */
function following({ summary, source, plan, findings }: Assessment): [string, ...string[]] {
  const decisions = findings.some(({ severity, table }) => severity === 'blocks' && table !== undefined)
  if (summary.blocks > 0) return decisions && plan === null ? ['assess', '--write-plan'] : ['assess']
  return source.journalMode === 'wal' ? ['snapshot'] : ['snapshot', '--enable-wal']
}
