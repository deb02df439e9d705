/** Logs: pino, to stderr, since stdout belongs to a command's answer; JSON lines, or prose on a terminal. */

import { Writable } from 'node:stream'
import { type Logger, pino, stdTimeFunctions } from 'pino'
import pretty from 'pino-pretty'
import type { Config } from './core/config.ts'
import { Failure, messageOf } from './core/errors.ts'

export type { Logger } from 'pino'

export interface LogOptions extends Pick<Config, 'logLevel' | 'logFormat'> {
  /** Applied to each line before it leaves; see core/secrets.ts. */
  readonly scrub: (text: string) => string
  /** Where lines go; default stderr. */
  readonly write?: (line: string) => void
  /** Decides the format where the configuration does not; default: whether stderr is a terminal. */
  readonly terminal?: boolean
}

/** Keys whose values are never logged, however they got there. The scrubber is the net below these. */
const SECRET_KEYS = ['password', 'token', 'authorization', 'postgresUrl', 'controlToken', 'connectionString']

export function createLogger(options: LogOptions): Logger {
  const out = options.write ?? ((line: string) => void process.stderr.write(line))
  const terminal = options.terminal ?? process.stderr.isTTY === true
  const lines = { write: (line: string) => out(options.scrub(line)) }
  const prose = (options.logFormat ?? (terminal ? 'pretty' : 'json')) === 'pretty'
  return pino(
    {
      level: options.logLevel,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: serializeError },
      redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '***' },
    },
    prose ? prettyStream(lines, terminal) : lines,
  )
}

/** A failure is told by its code and remedy; a stack is for defects. */
function serializeError(error: unknown): object {
  if (error instanceof Failure) {
    const { code, message, remedy, facts } = error
    const cause = error.cause === undefined ? undefined : messageOf(error.cause)
    return { code, message, remedy, cause, ...(Object.keys(facts).length > 0 && { facts }) }
  }
  return error instanceof Error ? pino.stdSerializers.err(error) : { message: String(error) }
}

function prettyStream(lines: { write(line: string): void }, colorize: boolean) {
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.write(String(chunk))
      done()
    },
  })
  return pretty({
    destination,
    colorize,
    translateTime: 'SYS:HH:MM:ss',
    singleLine: true,
    errorLikeObjectKeys: ['err'],
  })
}
