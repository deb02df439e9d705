import { Command } from 'commander'
import { action, type Context, interruptible } from '../context.ts'
import { commandLine } from '../format.ts'
import { helpText } from '../help.ts'

export function demoCommand(context: Context): Command {
  const command = new Command('demo')
    .summary('see all of it on databases made for the purpose')
    .description('A newsroom that is written to all the time moves to an embedded PostgreSQL. Needs nothing.')
    .option('--stay', 'keep it running until Ctrl-C')
    .addHelpText('after', helpText(['slipway demo', 'slipway demo --stay'], []))
  return action(command, context, (options: { readonly stay?: boolean }) =>
    run(context, options.stay === true),
  )
}

async function run(context: Context, stay: boolean): Promise<number> {
  const { work, terminal } = context
  using interruption = interruptible((text) => terminal.note(text))
  const { signal } = interruption
  try {
    const code = await work.demo({ stay, signal, print: (line) => terminal.answer(line) })
    if (signal.aborted && !stay) return 130
    if (code === 0) {
      const target = 'postgres://USER@HOST/DATABASE'
      terminal.next(commandLine(terminal.env, 'snapshot', '--enable-wal', './app.db', target), false)
    }
    return code
  } catch (error) {
    if (!signal.aborted) throw error
    return 130
  }
}
