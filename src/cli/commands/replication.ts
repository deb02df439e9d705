import { Command } from 'commander'
import { loadClientConfig } from '../../config.ts'
import type { LagReport } from '../../core/operator.ts'
import { type Client, createClient } from '../client.ts'
import { action, type Context } from '../context.ts'
import { commandLine, count } from '../format.ts'
import { CLIENT_SETTINGS, helpText } from '../help.ts'

interface Options {
  readonly json?: boolean
}

const DEFAULT_REASON = 'asked for on the command line'

export function replicationCommand(context: Context): Command {
  const command = new Command('replication')
    .summary('pause or resume the application of changes')
    .description('Tells the daemon at CONTROL_URL. Writes to SQLite go on; changes wait in the changelog.')
    .addHelpText('after', helpText(['slipway replication pause --reason "disk is being replaced"'], []))
  command.addCommand(pause(context)).addCommand(resume(context))
  return command
}

function pause(context: Context): Command {
  const command = new Command('pause')
    .summary('stop applying changes')
    .description('Stops applying changes until resumed; the batch in flight is finished.')
    .option('--reason <text>', 'shown to everybody who wonders why nothing moves', DEFAULT_REASON)
    .option('--json', 'answer in JSON')
    .addHelpText('after', helpText(['slipway replication pause --reason "vacuum full"'], CLIENT_SETTINGS))
  return action(command, context, (options: Options & { readonly reason: string }) => {
    const reason = options.reason.trim() || DEFAULT_REASON
    return run(context, options, 'resume', (client) => client.pauseReplication(reason))
  })
}

function resume(context: Context): Command {
  const command = new Command('resume')
    .summary('apply changes again')
    .description('Takes back every pause that a person asked for.')
    .option('--json', 'answer in JSON')
    .addHelpText('after', helpText(['slipway replication resume'], CLIENT_SETTINGS))
  return action(command, context, (options: Options) =>
    run(context, options, 'wait', (client) => client.resumeReplication()),
  )
}

async function run(
  { terminal }: Context,
  { json = false }: Options,
  then: 'resume' | 'wait',
  ask: (client: Client) => Promise<LagReport>,
): Promise<number> {
  const config = loadClientConfig({ env: terminal.env })
  terminal.protect({ tokens: [config.controlToken] })
  const lag = await ask(await createClient(config))
  const why = lag.reasons.length > 0 ? `: ${lag.reasons.join('; ')}` : ''
  if (json) terminal.json(lag)
  else terminal.answer(`replication is ${lag.state}${why}; ${count(lag.pending_changes, 'change')} to apply`)
  const [command, ...args] = then === 'resume' ? ['replication', 'resume'] : ['lag', '--wait']
  terminal.next(commandLine(terminal.env, command!, ...args), json)
  return 0
}
