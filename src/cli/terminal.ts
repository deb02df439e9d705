/** Where a command speaks: answers to stdout, everything else to stderr. A reader that went away is no error. */
import { createInterface } from 'node:readline/promises'
import { styleText } from 'node:util'
import { Failure, messageOf } from '../core/errors.ts'
import { type Secrets, scrubber } from '../core/secrets.ts'
import { isAbort } from '../runtime/service.ts'
import { commandsIn } from './format.ts'
import { LiveBlock } from './live-block.ts'

export interface Streams {
  readonly env: NodeJS.ProcessEnv
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
}

export class Terminal {
  readonly env: NodeJS.ProcessEnv
  readonly live: LiveBlock
  /** stderr is a terminal: bars and colours make sense. */
  readonly interactive: boolean
  readonly #stdin: NodeJS.ReadStream
  readonly #stdout: NodeJS.WriteStream
  readonly #stderr: NodeJS.WriteStream
  #scrub = scrubber({})
  /** Masks what `protect` has named. */
  readonly scrub = (text: string): string => this.#scrub(text)
  #readerGone = false

  constructor({ env, stdin, stdout, stderr }: Streams = process) {
    this.env = env
    this.#stdin = stdin
    this.#stdout = stdout
    this.#stderr = stderr
    this.interactive = stderr.isTTY === true && env.TERM !== 'dumb'
    this.live = new LiveBlock(stderr)
    // Without these a closed pipe (`| head`) would be an uncaught exception.
    stdout.on('error', () => {
      this.#readerGone = true
    })
    stderr.on('error', () => {})
  }

  /** Nobody reads the answers any more. */
  get readerGone(): boolean {
    return this.#readerGone
  }

  /** From here on these are masked in everything that is printed, except by `reveal`. */
  protect(secrets: Secrets): void {
    this.#scrub = scrubber(secrets)
  }

  /** A line of the answer. */
  answer(text: string): void {
    this.live.pause()
    if (!this.#readerGone) this.#stdout.write(`${this.#scrub(text)}\n`)
  }

  json(value: unknown, indent: 0 | 2 = 2): void {
    this.answer(JSON.stringify(value, null, indent))
  }

  /** A line beside the answer. */
  note(text: string): void {
    this.live.above(`${this.#scrub(text)}\n`)
  }

  /** The one place where a secret is shown, to the person at the terminal. */
  reveal(text: string): void {
    if (this.interactive) this.live.above(`${text}\n`)
  }

  warn(text: string): void {
    this.note(`${this.#style('yellow', 'warning:')} ${text}`)
  }

  next(command: string, beside: boolean): void {
    const line = `Next: ${command}`
    if (beside) this.note(line)
    else this.answer(line)
  }

  /** One line and a remedy; a stack only for a defect, or where the log level asks for it. */
  error(error: unknown, json = false): void {
    const known = error instanceof Failure || isAbort(error)
    const message = known ? messageOf(error) : `slipway met a defect: ${messageOf(error)}`
    const remedy = error instanceof Failure ? error.remedy : undefined
    if (json)
      this.json({ error: { code: error instanceof Failure ? error.code : 'defect', message, remedy } })
    this.note(`${this.#style('red', 'error:')} ${message}`)
    if (remedy) this.note(`${this.#style('bold', 'remedy:')} ${commandsIn(remedy, this.env)}`)
    const level = (this.env.SLIPWAY_LOG_LEVEL || this.env.LOG_LEVEL || '').toLowerCase()
    if (!known || level === 'debug' || level === 'trace') this.note(stackOf(error))
  }

  get canAsk(): boolean {
    return this.interactive && this.#stdin.isTTY === true
  }

  /** A question whose answer is no unless somebody says yes. */
  async confirm(question: string, signal?: AbortSignal): Promise<boolean> {
    return /^y(es)?$/i.test(await this.ask(`${question} [y/N]`, signal))
  }

  /** What the person types, without spaces around it; empty where the input ended. */
  async ask(question: string, signal?: AbortSignal): Promise<string> {
    this.live.pause()
    // Not in raw mode: Ctrl-C stays a signal.
    const lines = createInterface({ input: this.#stdin, output: this.#stderr, terminal: false })
    const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
    try {
      const answer = await Promise.race([lines.question(`${question} `, signal ? { signal } : {}), ended])
      return answer.trim()
    } finally {
      lines.close()
    }
  }

  #style(format: 'red' | 'yellow' | 'bold', text: string): string {
    return this.interactive ? styleText(format, text, { stream: this.#stderr }) : text
  }
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `\ncaused by: ${stackOf(error.cause)}`
  return `${error.stack ?? error.message}${cause}`
}
