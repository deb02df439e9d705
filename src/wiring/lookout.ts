import type { LagReport, StatusReport } from '../core/operator.ts'
import type { SwitchRun } from '../core/switch-run.ts'
import type { SourceNotes } from '../core/switching.ts'
import type { SqliteFence } from '../sqlite/fence.ts'
import type { SwitchWait } from '../switchover/coordinator.ts'
import { fencesOf } from './fences.ts'
import type { ForwardFacts } from './forward-facts.ts'
import { type Lead, leadDuring } from './underway.ts'

interface LookoutDeps {
  readonly facts: () => ForwardFacts | undefined
  readonly fence: () => Pick<SqliteFence, 'notes'> | undefined
  readonly run: () => SwitchRun
  readonly waiting: () => SwitchWait | undefined
}

/** What people are told of who leads, and of what each engine refuses. */
export class Lookout {
  readonly #deps: LookoutDeps

  constructor(deps: LookoutDeps) {
    this.#deps = deps
  }

  /** Both engines as applications meet them. */
  fences(): StatusReport['fences'] {
    const { facts, run, waiting } = this.#deps
    const control = facts()?.control
    const notes = this.#notes()
    const lead = control && leadDuring(run(), notes?.authority === 'none', control)
    return fencesOf(control && { ...control, ...lead }, notes, waiting())
  }

  /** `measured`: by what was read last; where nothing was, SQLite's notes tell who leads. */
  lead(measured: Pick<LagReport, 'phase' | 'authority'>): Lead {
    const { facts, run } = this.#deps
    const notes = this.#notes()
    const { phase } = measured
    const { authority = measured.authority, epoch = 0 } = facts()?.control ?? notes ?? {}
    return leadDuring(run(), notes?.authority === 'none', { phase, authority, epoch })
  }

  /** Undefined while the file cannot be read, which the stream tells of. */
  #notes(): SourceNotes | undefined {
    try {
      return this.#deps.fence()?.notes()
    } catch {
      return undefined
    }
  }
}
