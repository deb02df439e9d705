import { Command } from 'commander'
import { loadClientConfig } from '../../config.ts'
import { sleep } from '../../runtime/retry.ts'
import { createClient } from '../client.ts'
import { action, type Context } from '../context.ts'
import { CLIENT_SETTINGS, helpText } from '../help.ts'
import { Interruption } from '../signals.ts'
import { followUp, statusLines } from '../status-report.ts'

interface Options {
  readonly watch?: boolean
  readonly json?: boolean
}

const EXAMPLES = ['slipway status', 'slipway status --watch', 'slipway status --json | jq .tables']

export function statusCommand(context: Context): Command {
  const command = new Command('status')
    .summary('show everything that the daemon knows')
    .description('Asks the daemon at CONTROL_URL.')
    .option('--watch', 'again each second, until Ctrl-C')
    .option('--json', 'answer in JSON; with --watch a line each second')
    .addHelpText('after', helpText(EXAMPLES, CLIENT_SETTINGS))
  return action(command, context, (options: Options) => run(context, options))
}

async function run({ terminal }: Context, { watch = false, json = false }: Options): Promise<number> {
  const config = loadClientConfig({ env: terminal.env })
  terminal.protect({ tokens: [config.controlToken] })
  const client = await createClient(config)
  if (watch) {
    using interruption = new Interruption({ deadlineMs: 1000, onFirst: () => {} })
    while (!interruption.signal.aborted && !terminal.readerGone) {
      const status = await client.status()
      if (json) terminal.json(status, 0)
      else if (terminal.interactive) terminal.live.update(statusLines(status, terminal.env))
      else terminal.answer([...statusLines(status, terminal.env), ''].join('\n'))
      await sleep(1000, interruption.signal)
    }
    return interruption.signal.aborted ? 130 : 0
  }
  const status = await client.status()
  if (json) terminal.json(status)
  else for (const line of statusLines(status, terminal.env)) terminal.answer(line)
  terminal.next(followUp(status, terminal.env), json)
  return 0
}
