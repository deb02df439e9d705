import { Command } from 'commander'
import { Failure } from '../../core/errors.ts'
import type { Client } from '../client.ts'
import { action, type Context, dial } from '../context.ts'
import { commandLine } from '../format.ts'
import { CLIENT_SETTINGS, helpText } from '../help.ts'
import type { Terminal } from '../terminal.ts'

interface Options {
  readonly confirm?: string
  readonly json?: boolean
}

export function finalizeCommand(context: Context): Command {
  const command = new Command('finalize')
    .summary('end the way back; PostgreSQL stays')
    .description(
      'Tells the daemon at CONTROL_URL that the migration is done: replication back to SQLite and its capture go. ' +
        'The SQLite file stays as it is, fenced. There is no rollback after it.',
    )
    .option('--confirm <name>', "the migration's name; without it a person at the terminal is asked")
    .option('--json', 'answer in JSON')
    .addHelpText('after', helpText(['slipway finalize', 'slipway finalize --confirm news'], CLIENT_SETTINGS))
  return action(command, context, (options: Options) => run(context, options))
}

async function run(context: Context, { confirm, json = false }: Options): Promise<number> {
  const { terminal } = context
  if (confirm === undefined && !terminal.canAsk) {
    throw new Failure({
      code: 'usage',
      message: 'nobody is here to confirm that the way back ends',
      remedy: "Say the migration's name: slipway finalize --confirm NAME",
      exit: 2,
    })
  }
  const client = await dial(context)
  const name = confirm ?? (await asked(client, terminal))
  if (name === undefined) {
    terminal.note('Nothing was changed.')
    terminal.next(commandLine(terminal.env, 'status'), true)
    return 1
  }
  const lag = await client.finalize(name)
  if (json) terminal.json(lag)
  else terminal.answer(`${lag.migration} is finalized: PostgreSQL leads, and there is no way back any more.`)
  terminal.next(commandLine(terminal.env, 'report', '--output', 'report.md'), json)
  return 0
}

/** The name as the person typed it; undefined where it is another one. */
async function asked(client: Client, terminal: Terminal): Promise<string | undefined> {
  const { migration, rollback_safe: safe } = await client.status()
  terminal.note('Replication back to SQLite ends; the file stays, fenced. There is no rollback after it.')
  if (safe?.safe === false) terminal.warn(`a rollback is not safe now: ${safe.reasons.join('; ')}`)
  const name = await terminal.ask(`Type the migration's name, ${migration}, to go on:`)
  return name === migration ? name : undefined
}
