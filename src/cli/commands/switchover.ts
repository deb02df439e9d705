import { Command, Option } from 'commander'
import type { Passage } from '../../core/authority.ts'
import { Failure } from '../../core/errors.ts'
import type { Guard, SwitchRequest, SwitchRun } from '../../core/switch-run.ts'
import { action, type Context, dial } from '../context.ts'
import { commandLine } from '../format.ts'
import { CLIENT_SETTINGS, helpText } from '../help.ts'
import { numberOption } from '../options.ts'
import { Interruption } from '../signals.ts'
import { follow } from '../switch-follow.ts'
import { SwitchProgress } from '../switch-progress.ts'
import { guardLines, outcome, passes, stepLine } from '../switch-report.ts'

interface Options {
  readonly dryRun?: boolean
  readonly wait: string
  readonly maxPause?: string
  readonly verify?: SwitchRequest['verify']
  readonly override?: readonly string[]
  readonly force?: boolean
  readonly json?: boolean
}

type FollowUp = [command: string, ...args: string[]]

/** The guard that refuses first says what usually helps. */
const HELPS: Readonly<Record<string, FollowUp>> = {
  phase: ['status'],
  lag: ['lag', '--wait'],
  quarantine: ['quarantine'],
  drift: ['status'],
  verify: ['verify'],
}

export function switchoverCommand(context: Context): Command {
  const command = new Command('switchover')
    .summary('give the writes to PostgreSQL')
    .description(
      'Asks the daemon at CONTROL_URL to give the authority to PostgreSQL: it measures the guards, waits for lag zero, ' +
        'pauses writes for some milliseconds, and decides. A pause that takes too long is undone by itself. Ctrl-C ends ' +
        'the watching only.',
    )
  usual(command)
    .addOption(
      new Option('--verify <which>', 'recent: one not too old counts; full: one is made now; none')
        .choices(['recent', 'full', 'none'])
        .default('recent'),
    )
    .addHelpText(
      'after',
      helpText(
        [
          'slipway switchover --dry-run',
          'slipway switchover',
          'slipway switchover --wait 300 --verify full --max-pause 1000',
          'slipway switchover --override backup',
        ],
        CLIENT_SETTINGS,
      ),
    )
  return action(command, context, (options: Options) => run(context, 'switchover', options))
}

export function rollbackCommand(context: Context): Command {
  const command = new Command('rollback')
    .summary('give the writes back to SQLite, with all that PostgreSQL accepted')
    .description(
      'The way back: the same steps in the other direction. What PostgreSQL accepted is in SQLite before SQLite opens. ' +
        'Ctrl-C ends the watching only.',
    )
  usual(command)
    .option('--force', 'PostgreSQL is gone and stopped: open SQLite with what it has')
    .addHelpText(
      'after',
      helpText(
        ['slipway rollback --dry-run', 'slipway rollback', 'slipway rollback --force'],
        CLIENT_SETTINGS,
      ),
    )
  return action(command, context, (options: Options) => run(context, 'rollback', options))
}

/** What both directions take. */
function usual(command: Command): Command {
  return command
    .option('--dry-run', 'measure the guards and predict the pause; change nothing')
    .option('--wait <seconds>', 'how long to wait for lag zero', '60')
    .option('--max-pause <ms>', 'undo a pause that takes longer; default: MAX_PAUSE_MS of the daemon')
    .option('--override <code...>', 'go on without this guard; it is logged and stored')
    .option('--json', 'answer in JSON')
}

async function run(context: Context, passage: Passage, options: Options): Promise<number> {
  const { terminal } = context
  const { json = false } = options
  const request = requestOf(passage, options)
  const client = await dial(context)
  using progress = new SwitchProgress(terminal)
  using interruption = new Interruption({
    deadlineMs: 1000,
    onFirst: () => {
      terminal.live.pause()
      terminal.note(`no longer waiting; a ${passage} that has begun goes on in the daemon`)
    },
  })
  if (request.force) terminal.warn('by force: what PostgreSQL accepted and SQLite does not have stays there')
  let ended: SwitchRun | undefined
  try {
    ended = await follow(client, request, {
      // The steps of a dry run are part of its answer.
      show: (now) => {
        if (!request.dry_run || (terminal.interactive && now.state === 'running')) progress.show(now)
      },
      note: (text) => terminal.note(text),
      signal: interruption.signal,
    })
  } catch (error) {
    if (!(error instanceof Failure) || !(error.facts.run || error.facts.guards)) throw error
    return refused(context, { passage, json, progress, failure: error })
  }
  if (ended === undefined) {
    terminal.next(commandLine(terminal.env, 'status', '--watch'), true)
    return 130
  }
  if (!request.dry_run) progress.show(ended)
  if (json) terminal.json(ended)
  else for (const line of lines(ended, terminal.env)) terminal.answer(line)
  terminal.next(commandLine(terminal.env, ...followUp(ended, options)), json)
  return ended.state === 'done' || (ended.state === 'dry_run' && ended.guards.every(passes)) ? 0 : 1
}

interface Refusal {
  readonly passage: Passage
  readonly json: boolean
  readonly progress: SwitchProgress
  readonly failure: Failure
}

/** The daemon's word for why, with the run or the guards that it sent along. */
function refused({ terminal }: Context, { passage, json, progress, failure }: Refusal): number {
  // The shape is the server's word, as in client.ts.
  const { run: its, guards = [] } = failure.facts as {
    readonly run?: SwitchRun
    readonly guards?: readonly Guard[]
  }
  const { code, message, remedy } = failure
  // Of another run, which goes on, there is nothing to be told here.
  const told = its !== undefined && its.state !== 'running' && failure.status !== 409 ? its : undefined
  if (told !== undefined) progress.show(told)
  const measured = guards.length > 0 ? guards : told?.state === 'refused' ? told.guards : []
  if (json) terminal.json({ error: { code, message, remedy }, ...failure.facts })
  else {
    for (const line of guardLines(measured, terminal.env)) terminal.answer(line)
    if (told !== undefined) terminal.answer(outcome(told))
  }
  terminal.error(failure)
  const next: FollowUp = failure.status === 409 ? ['status'] : (helpFor(measured) ?? [passage, '--dry-run'])
  terminal.next(commandLine(terminal.env, ...next), json)
  return 1
}

function lines(ended: SwitchRun, env: NodeJS.ProcessEnv): string[] {
  const shown = ended.state === 'done' ? ended.guards.filter((guard) => !guard.ok) : ended.guards
  const guards = guardLines(shown, env)
  const steps = ended.state === 'dry_run' ? ended.steps.map(stepLine) : []
  return [
    ...steps,
    ...(steps.length > 0 ? [''] : []),
    ...guards,
    ...(guards.length > 0 ? [''] : []),
    outcome(ended),
  ]
}

function followUp(ended: SwitchRun, { override = [] }: Options): FollowUp {
  const { state, passage, guards } = ended
  if (state === 'done') return ['status']
  const help = helpFor(guards)
  if (help !== undefined) return help
  if (state !== 'dry_run') return [passage, '--dry-run']
  return [passage, ...(override.length > 0 ? ['--override', ...codes(override)] : [])]
}

function helpFor(guards: readonly Guard[]): FollowUp | undefined {
  const refusing = guards.filter((guard) => !passes(guard))
  return refusing.map(({ code }) => HELPS[code]).find((one) => one !== undefined)
}

function requestOf(passage: Passage, options: Options): SwitchRequest {
  const pause = options.maxPause
  return {
    passage,
    wait_seconds: numberOption({ name: '--wait', unit: 'seconds', min: 0, max: 86_400 }, options.wait),
    dry_run: options.dryRun === true,
    max_pause_ms:
      pause === undefined
        ? undefined
        : numberOption(
            { name: '--max-pause', unit: 'milliseconds', min: 1, max: 600_000, whole: true },
            pause,
          ),
    verify: options.verify ?? 'recent',
    override: codes(options.override ?? []),
    force: options.force === true,
  }
}

/** `--override a b` and `--override a,b` are one wish. */
function codes(given: readonly string[]): string[] {
  return [...new Set(given.flatMap((text) => text.split(',')).filter((code) => code !== ''))]
}
