import type { ReplayOptions, ReplayOutcome } from '../cli/work.ts'
import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import { parseSeq, seqToJson } from '../core/position.ts'
import { type Moment, rebuild } from '../postgres/rebuild.ts'
import { openTarget } from './session.ts'

/** `slipway replay`: a past state of the moved tables, in a schema of its own. The daemon may run meanwhile. */
export async function replay(config: Config, options: ReplayOptions): Promise<ReplayOutcome> {
  const startedAt = Date.now()
  const moment = momentOf(options.at)
  await using target = await openTarget(config, (line) => options.observer.step(line))
  // A statement that fills a large table is not waited for.
  const cut = (): void => target.cut()
  options.signal.addEventListener('abort', cut, { once: true })
  try {
    options.signal.throwIfAborted()
    const { position, batch, tables } = await target.connection.use((client) =>
      rebuild(client, {
        migration: config.migrationName,
        moment,
        into: options.into,
        progress: (text) => options.observer.step(text),
        signal: options.signal,
      }),
    )
    return {
      position: seqToJson(position),
      batch: seqToJson(batch),
      schema: options.into,
      tables,
      rows: tables.reduce((sum, table) => sum + table.rows, 0),
      seconds: (Date.now() - startedAt) / 1000,
      url: target.url,
    }
  } finally {
    options.signal.removeEventListener('abort', cut)
  }
}

const TIME = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?$/i

function momentOf(at: string): Moment {
  if (/^latest$/i.test(at)) return { kind: 'latest' }
  if (/^\d{1,18}$/.test(at)) return { kind: 'position', position: parseSeq(at) }
  if (TIME.test(at) && isDay(at.slice(0, 10)) && !Number.isNaN(Date.parse(at)))
    return { kind: 'time', time: at }
  throw new Failure({
    code: 'usage',
    exit: 2,
    message: `--at "${at}" is neither a position nor a time`,
    remedy:
      'Give a position as /lag shows it ("applied"), a time like 2026-03-01T12:00:00Z (UTC without a zone), or: --at latest',
  })
}

/** False for 30 February, which Date takes for a day of March and PostgreSQL for an error. */
function isDay(text: string): boolean {
  const day = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text)
}
