import { join } from 'node:path'
import type { Config } from '../core/config.ts'
import { Failure, messageOf } from '../core/errors.ts'
import type { ReverseSource, ReverseStream } from '../core/reverse.ts'
import { noteUnsafe } from '../postgres/control-notes.ts'
import type { ControlState } from '../postgres/control-state.ts'
import { ReverseReader } from '../postgres/reverse-reader.ts'
import { sleep } from '../runtime/retry.ts'
import { SqliteImages } from '../sqlite/images.ts'
import { checkFile, openReader, readFacts } from '../sqlite/open.ts'
import { ReverseWriter } from '../sqlite/reverse-writer.ts'
import type { ForwardFacts } from './forward-facts.ts'
import type { TargetSession } from './session.ts'

/** Least time between two prunes of PostgreSQL's changelog. */
const PRUNE_EVERY_MS = 30_000

interface ReverseFactoryDeps {
  readonly config: Config
  readonly target: TargetSession
  readonly facts: ForwardFacts
  readonly warn: (text: string) => void
  /** Constraints that came back are validated, outside of any pause; what is not whole is told. */
  readonly validate: () => Promise<readonly string[]>
  /** Ends a finalized migration on PostgreSQL, as far as that is not done. */
  readonly end: () => Promise<void>
}

/** Puts the way back together, while PostgreSQL leads. */
export class ReverseFactory {
  readonly #deps: ReverseFactoryDeps

  constructor(deps: ReverseFactoryDeps) {
    this.#deps = deps
  }

  /** What an interrupted end has left is taken away, and nobody waits for it. */
  async #ended({ tables, phase }: ControlState): Promise<ReverseStream> {
    const { config, warn, end } = this.#deps
    end().catch((error: unknown) => warn(`the end of the migration is not complete: ${messageOf(error)}`))
    const writer = new ReverseWriter({ path: config.sqlitePath, warn })
    const ignore = async (): Promise<void> => undefined
    return {
      ...{ direction: 'reverse', tables, phase, source: NOTHING, target: writer },
      images: {
        images: () => Promise.reject(new Error('nothing is read any more')),
        range: () => Promise.reject(new Error('nothing is read any more')),
      },
      ...{ doubt: undefined, unsafe: ignore, safe: ignore, told: warn },
      [Symbol.asyncDispose]: async () => writer[Symbol.dispose](),
    }
  }

  async open(): Promise<ReverseStream> {
    const { config, target, facts, warn, validate } = this.#deps
    checkFile(config.sqlitePath)
    const control = await target.control.read()
    if (control === undefined)
      throw new Failure({
        code: 'control_missing',
        policy: 'transient',
        message: 'the server has forgotten this migration',
      })
    facts.control = control
    if (control.phase === 'finalized') return await this.#ended(control)
    await using stack = new AsyncDisposableStack()
    const reader = openReader(config.sqlitePath)
    const { encoding } = readFacts(reader, config.sqlitePath)
    facts.source = { ...readFacts(reader, config.sqlitePath) }
    reader.close()
    const connect = (purpose: string) => stack.use(disposable(target, purpose))
    const source = stack.use(
      new ReverseReader({
        connection: connect('reverse').connection,
        observer: connect('reverse lag').connection,
        listener: connect('reverse bell').connection,
        migration: config.migrationName,
        id: control.id,
        holder: target.control.holder,
        epoch: control.epoch,
        tables: control.tables,
        told: control.unsafe.get('schema'),
        retentionSeconds: config.changelogRetentionSeconds,
        pruneEveryMs: PRUNE_EVERY_MS,
      }),
    )
    const images = stack.use(
      new SqliteImages({
        path: config.sqlitePath,
        encoding,
        spoolFolder: join(config.stateDir, 'spool'),
        chunkRows: config.chunkRows,
      }),
    )
    const writer = stack.use(new ReverseWriter({ path: config.sqlitePath, warn }))
    validate().then(
      (warnings) => warnings.forEach(warn),
      // A lost connection: the next stream asks again.
      () => undefined,
    )
    const refresh = async (): Promise<void> => {
      facts.control = await target.control.read()
    }
    const held = stack.move()
    return {
      direction: 'reverse',
      tables: control.tables,
      source,
      target: writer,
      images,
      phase: control.phase,
      doubt: control.unsafe.get('recovered') ?? control.unsafe.get('whole'),
      unsafe: async (code, reason) => {
        warn(`a rollback is not safe: ${reason}`)
        await noteUnsafe(target.connection, target.control, code, reason)
        await refresh()
      },
      safe: async (codes) => {
        for (const code of codes) await noteUnsafe(target.connection, target.control, code, undefined)
        await refresh()
      },
      told: (reason) => warn(reason),
      [Symbol.asyncDispose]: async () => await held.disposeAsync(),
    }
  }
}

/** Nothing is replicated any more; the daemon only answers. */
const NOTHING: ReverseSource = {
  read: async () => ({ kind: 'empty' }),
  lag: async ({ snapshot }) => ({ pending: 0, oldestAt: undefined, head: snapshot }),
  wake: sleep,
  acknowledge: async () => undefined,
  connected: true,
}

function disposable(target: TargetSession, purpose: string) {
  const connection = target.connect(purpose)
  return { connection, [Symbol.asyncDispose]: async () => await connection.close() }
}
