import { Command } from 'commander'
import type { WritesReport } from '../../api/schemas-switch.ts'
import type { Client } from '../client.ts'
import { action, type Context, dial } from '../context.ts'
import { commandLine } from '../format.ts'
import { CLIENT_SETTINGS, helpText } from '../help.ts'
import { numberOption } from '../options.ts'
import { fenceLine } from '../status-report.ts'

interface Options {
  readonly json?: boolean
}

const DEFAULT_REASON = 'asked for on the command line'

export function writesCommand(context: Context): Command {
  const command = new Command('writes')
    .summary("pause or resume the application's writes")
    .description(
      'Tells the daemon at CONTROL_URL to close the engine that leads. The engine itself refuses writes then, with ' +
        'the reason, and opens by itself after the time that is given.',
    )
    .addHelpText('after', helpText(['slipway writes pause --reason "moving the disk" --for 60'], []))
  command.addCommand(pause(context)).addCommand(resume(context))
  return command
}

function pause(context: Context): Command {
  const command = new Command('pause')
    .summary('refuse writes for some time')
    .description('Refuses writes of applications until the time is over or somebody resumes them.')
    .option('--reason <text>', 'part of the error that applications get', DEFAULT_REASON)
    .option('--for <seconds>', 'it ends by itself then, also where no daemon lives', '300')
    .option('--json', 'answer in JSON')
    .addHelpText('after', helpText(['slipway writes pause --reason "backup" --for 30'], CLIENT_SETTINGS))
  return action(
    command,
    context,
    async (options: Options & { readonly reason: string; readonly for: string }) => {
      const reason = options.reason.trim() || DEFAULT_REASON
      const limits = { name: '--for', unit: 'seconds', min: 1, max: 86_400, whole: true }
      const seconds = numberOption(limits, options.for)
      return run(context, options, ['writes', 'resume'], (client) => client.pauseWrites(reason, seconds))
    },
  )
}

function resume(context: Context): Command {
  const command = new Command('resume')
    .summary('take writes again')
    .description('Ends every pause of writes; the fence of a change of authority stays.')
    .option('--json', 'answer in JSON')
    .addHelpText('after', helpText(['slipway writes resume'], CLIENT_SETTINGS))
  return action(command, context, (options: Options) =>
    run(context, options, ['status'], (client) => client.resumeWrites()),
  )
}

async function run(
  context: Context,
  { json = false }: Options,
  next: [command: string, ...args: string[]],
  ask: (client: Client) => Promise<WritesReport>,
): Promise<number> {
  const { terminal } = context
  const report = await ask(await dial(context))
  if (json) terminal.json(report)
  else for (const fence of report.fences) terminal.answer(fenceLine(fence))
  terminal.next(commandLine(terminal.env, ...next), json)
  return 0
}
