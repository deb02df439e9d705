/** The command line: parses, runs one command, and turns whatever happens into an exit code. */
import { Command, CommanderError } from 'commander'
import { Failure } from '../core/errors.ts'
import { isAbort } from '../runtime/service.ts'
import { version } from '../version.ts'
import { assessCommand } from './commands/assess.ts'
import { demoCommand } from './commands/demo.ts'
import { finalizeCommand } from './commands/finalize.ts'
import { lagCommand } from './commands/lag.ts'
import { quarantineCommand } from './commands/quarantine.ts'
import { recoverCommand } from './commands/recover.ts'
import { replayCommand } from './commands/replay.ts'
import { replicationCommand } from './commands/replication.ts'
import { reportCommand } from './commands/report.ts'
import { snapshotCommand } from './commands/snapshot.ts'
import { startCommand } from './commands/start.ts'
import { statusCommand } from './commands/status.ts'
import { rollbackCommand, switchoverCommand } from './commands/switchover.ts'
import { uninstallCommand } from './commands/uninstall.ts'
import { verifyCommand } from './commands/verify.ts'
import { writesCommand } from './commands/writes.ts'
import type { Context } from './context.ts'
import { Terminal } from './terminal.ts'
import type { Work } from './work.ts'

const COMMANDS = [
  demoCommand,
  assessCommand,
  snapshotCommand,
  startCommand,
  statusCommand,
  lagCommand,
  verifyCommand,
  quarantineCommand,
  replicationCommand,
  writesCommand,
  switchoverCommand,
  rollbackCommand,
  finalizeCommand,
  reportCommand,
  recoverCommand,
  replayCommand,
  uninstallCommand,
]

export function createProgram(context: Context): Command {
  const program = new Command('slipway')
    .description('Moves a live SQLite database to PostgreSQL, and back.')
    .version(version(), '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show the help of a command')
    .showSuggestionAfterError()
    // `quarantine retry --json`: what follows a command is meant for it.
    .enablePositionalOptions()
    .addHelpText('after', '\nBegin with: slipway demo')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.terminal.answer(text.trimEnd()),
      writeErr: (text) => context.terminal.note(text.trimEnd()),
      outputError: (text) => context.terminal.error(usageFailure(text)),
    })
  for (const make of COMMANDS) {
    // A command inherits neither output nor exit by itself when it is made apart.
    program.addCommand(inherit(make(context), program))
  }
  return program
}

/** Runs `slipway ARGV` and resolves with its exit code. Throws nothing. */
export async function runCli(
  work: Work,
  argv: readonly string[],
  terminal = new Terminal(),
): Promise<number> {
  const context: Context = { work, terminal, exitCode: 0, json: false }
  try {
    await createProgram(context).parseAsync([...argv])
    return context.exitCode
  } catch (error) {
    terminal.live.pause()
    // Usage: commander has said it; help without a command is a question that was not asked right.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    if (isAbort(error)) return 130
    terminal.error(error, context.json)
    return error instanceof Failure ? error.exit : 1
  }
}

function inherit(command: Command, parent: Command): Command {
  command.copyInheritedSettings(parent)
  for (const child of command.commands) inherit(child, command)
  return command
}

/** `error: unknown command 'snapshto'\n(Did you mean snapshot?)` as a failure with a remedy. */
function usageFailure(text: string): Failure {
  const [, message = text.trim(), suggestion] =
    /^error: (.*?)\n?(?:\((Did you mean .*\?)\))?\s*$/s.exec(text) ?? []
  const remedy = `${suggestion ? `${suggestion} ` : ''}slipway --help lists the commands, slipway COMMAND --help its options.`
  return new Failure({ code: 'usage', message, remedy, exit: 2 })
}
