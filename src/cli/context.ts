/** What all commands share, and what several of them do alike. */
import type { Command } from 'commander'
import { type LoadOptions, loadClientConfig, loadConfig } from '../config.ts'
import type { Config } from '../core/config.ts'
import { createLogger, type Logger } from '../logging.ts'
import { type Client, createClient } from './client.ts'
import { Interruption } from './signals.ts'
import type { Terminal } from './terminal.ts'
import type { Work } from './work.ts'

export interface Context {
  readonly work: Work
  readonly terminal: Terminal
  exitCode: number
  /** Whether the command was asked for JSON; then its failure is JSON as well. */
  json: boolean
}

/** Makes what a command does its action; `run` resolves with the exit code. */
export function action<T extends unknown[]>(
  command: Command,
  context: Context,
  run: (...args: T) => Promise<number>,
): Command {
  return command.action(async (...args) => {
    context.json = command.opts<{ json?: boolean }>().json === true
    context.exitCode = await run(...(args as unknown as T))
  })
}

/** Configuration and log of a command that works itself; from here on no secret is printed. */
export function prepare({ terminal }: Context, options: LoadOptions): { config: Config; logger: Logger } {
  const { config, warnings } = loadConfig({ env: terminal.env, ...options })
  const { postgresUrl, controlToken, logLevel, logFormat } = config
  terminal.protect({ postgresUrl, tokens: [controlToken] })
  for (const warning of warnings) terminal.warn(warning)
  const write = (line: string) => terminal.live.above(line)
  const { scrub, interactive } = terminal
  return { config, logger: createLogger({ logLevel, logFormat, scrub, write, terminal: interactive }) }
}

/** The daemon at CONTROL_URL; its token is no longer printed. */
export async function dial({ terminal }: Context): Promise<Client> {
  const config = loadClientConfig({ env: terminal.env })
  terminal.protect({ tokens: [config.controlToken] })
  return createClient(config)
}

/** `[sqlite] [postgres]` as commander hands them over. */
export function given(...positionals: readonly (string | undefined)[]): string[] {
  return positionals.filter((one) => one !== undefined)
}

/** Whether a source may be switched into WAL mode: by the option, or by a person who is asked. */
export async function consentsToWal(
  { work, terminal }: Context,
  config: Config,
  enableWal: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  if (enableWal || !terminal.canAsk) return enableWal
  const mode = (await work.journalMode(config)).toLowerCase()
  if (mode === 'wal') return false
  terminal.note(`The database is in journal mode ${mode}, in which a reader blocks the application's writes.`)
  terminal.note('WAL mode stays in the file; uninstall brings the old mode back.')
  return terminal.confirm('Switch it to WAL mode?', signal)
}

/** Of a command that works for a while: the first signal asks it to stop where it can be resumed. */
export function interruptible(say: (text: string) => void, deadlineMs = 10_000): Interruption {
  return new Interruption({
    deadlineMs,
    onFirst: (name) => say(`${name}: stopping; once more stops at once`),
  })
}
