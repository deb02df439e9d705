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

/** So few changes are drained under the lock in no time. */
const NEAR = 200
/** Under steady load something is always pending: what there is may take this part of the pause to drain. */
const SHARE = 0.25

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
      nearHead: async () => {
        const lag = await measureLag(config, replicator, facts)
        if (lag.caught_up) return true
        if (lag.head === null || lag.state !== 'running') return false
        if (lag.pending_changes <= NEAR) return true
        const { batchSeconds, batchChanges } = replicator.view.loop
        const batches = Math.max(1, lag.pending_changes / Math.max(1, batchChanges))
        return batches * batchSeconds * 1000 <= SHARE * maxPauseMs
      },
      inspect: async () => {
        const now = replicator.view.loop.quarantined
        if (now > asideBefore) throw setAside(now - asideBefore)
      },
      start: async () => {
        const control = await target.control.read()
        if (control?.reverseStart !== undefined) return control.reverseStart
        throw new Error('PostgreSQL has decided, and does not know where the way back starts')
      },
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
