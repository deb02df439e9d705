import type { Notes, Passage } from '../core/authority.ts'
import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import type { Conduct } from '../core/switching.ts'
import type { PostgresGate } from '../postgres/gate.ts'
import { lastIds } from '../postgres/identities.ts'
import type { Replicator } from '../replication/replicator.ts'
import type { SqliteFence } from '../sqlite/fence.ts'
import { readSequences } from '../sqlite/introspect.ts'
import { openReader } from '../sqlite/open.ts'
import { type ConductDeps, RollbackConduct, SwitchoverConduct } from './conduct.ts'
import type { ForwardFacts } from './forward-facts.ts'
import { measureLag } from './lag.ts'
import type { TargetSession } from './session.ts'

/** What is left may take this long to drain, ms: more and more, since under a steady load something is always left. */
const AT_FIRST_MS = 15
const DOUBLES_EVERY_MS = 200
/** And no more than this part of the pause. */
const SHARE = 0.4
/** As long as no batch was seen, so few changes are drained in no time. */
const FEW = 200

interface FactoryDeps {
  readonly config: Config
  readonly target: TargetSession
  readonly facts: ForwardFacts
  readonly replicator: Replicator
  readonly fence: SqliteFence
  readonly gate: PostgresGate
}

interface Begin {
  readonly maxPauseMs: number
  /** The attempt as PostgreSQL has noted it. */
  readonly begun: (notes: Notes) => void
  /** Locks are gone. */
  readonly ended: () => void
}

/** Makes the conduct of one change of authority out of the engines' parts. */
export class ConductFactory {
  readonly #deps: FactoryDeps

  constructor(deps: FactoryDeps) {
    this.#deps = deps
  }

  begin(passage: Passage, { maxPauseMs, begun, ended }: Begin): Conduct {
    const { config, target, facts, replicator, fence, gate } = this.#deps
    const asideBefore = replicator.view.loop.quarantined
    const deps: ConductDeps = {
      fence,
      gate,
      replicator,
      nearHead: async (waitedMs) => {
        // A position that is remembered says nothing of a stream that is still being opened.
        if (replicator.view.loop.applied === undefined) return false
        const lag = await measureLag(config, replicator, facts)
        if (lag.caught_up) return true
        if (lag.head === null || lag.state !== 'running') return false
        const { batchSeconds, batchChanges } = replicator.view.loop
        if (batchChanges === 0) return lag.pending_changes <= FEW
        const batches = Math.max(1, lag.pending_changes / batchChanges)
        const bound = Math.min(SHARE * maxPauseMs, AT_FIRST_MS * 2 ** (waitedMs / DOUBLES_EVERY_MS))
        return batches * batchSeconds * 1000 <= bound
      },
      inspect: async () => {
        const now = replicator.view.loop.quarantined
        if (now > asideBefore) throw setAside(now - asideBefore)
      },
      start: async () => (await target.control.read())?.reverseStart,
      usedBySqlite: () => {
        const reader = openReader(config.sqlitePath)
        try {
          return readSequences(reader)
        } finally {
          reader.close()
        }
      },
      usedByPostgres: async () => {
        const tables = (await target.control.read())?.tables ?? []
        return await target.connection.use((client) => lastIds(client, tables))
      },
      begun,
      ended,
      maxPauseMs,
      notes: fence.notes(),
    }
    return passage === 'switchover' ? new SwitchoverConduct(deps) : new RollbackConduct(deps)
  }
}

function setAside(rows: number): Failure {
  return new Failure({
    code: 'quarantine',
    exit: 1,
    message: `${rows} rows of the last changes were set aside: the other side would not have them`,
    remedy: 'See: slipway quarantine',
  })
}
