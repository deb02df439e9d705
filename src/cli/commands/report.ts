import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Command } from 'commander'
import { Failure, messageOf } from '../../core/errors.ts'
import { action, type Context, dial } from '../context.ts'
import { commandLine } from '../format.ts'
import { CLIENT_SETTINGS, helpText } from '../help.ts'

interface Options {
  readonly output?: string
  readonly json?: boolean
}

export function reportCommand(context: Context): Command {
  const command = new Command('report')
    .summary('write the proof of the migration, in Markdown')
    .description('Asks the daemon at CONTROL_URL for rows, verify, pauses, backup, who and when.')
    .option('--output <file>', 'into this file instead of stdout; one that is there is replaced')
    .option('--json', 'answer in JSON, with the Markdown as a text')
    .addHelpText('after', helpText(['slipway report', 'slipway report --output report.md'], CLIENT_SETTINGS))
  return action(command, context, (options: Options) => run(context, options))
}

async function run(context: Context, { output, json = false }: Options): Promise<number> {
  const { terminal } = context
  const markdown = terminal.scrub(await (await dial(context)).report())
  if (output !== undefined) await write(output, markdown)
  if (json) terminal.json(output === undefined ? { markdown } : { markdown, file: path.resolve(output) })
  else terminal.answer(output === undefined ? markdown.trimEnd() : `The report is in ${output}.`)
  // The answer is a document: what comes next stands beside it.
  terminal.next(commandLine(terminal.env, 'status'), json || output === undefined)
  return 0
}

async function write(file: string, markdown: string): Promise<void> {
  try {
    await writeFile(file, markdown)
  } catch (error) {
    throw new Failure({
      code: 'report_not_written',
      message: `${file} cannot be written: ${messageOf(error)}`,
      remedy: 'Name a file in a folder that you may write to.',
      exit: 1,
      cause: error,
    })
  }
}
