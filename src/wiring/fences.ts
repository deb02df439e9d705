import type { Authority, StatusReport } from '../core/operator.ts'
import type { SourceNotes } from '../core/switching.ts'
import type { ControlState } from '../postgres/control-state.ts'
import type { SwitchWait } from '../switchover/coordinator.ts'
import type { Lead } from './underway.ts'

type Fence = StatusReport['fences'][number]

const UNDECIDED = 'a change of authority is not decided yet'

/** PostgreSQL as far as anybody can say now; `authority` may be none. */
type Target = Pick<ControlState, 'phase' | 'pauses'> & Pick<Lead, 'authority'>

/** Both engines as applications meet them; why, and until when where that has an end. */
export function fencesOf(
  control: Target | undefined,
  notes: SourceNotes | undefined,
  waiting: SwitchWait | undefined,
): Fence[] {
  return [sqliteFence(control, notes, waiting), postgresGate(control)]
}

function postgresGate(control: Target | undefined): Fence {
  const authority = control?.authority ?? 'sqlite'
  const pauses = control !== undefined && authority === 'postgres' ? control.pauses : []
  const closed = authority !== 'postgres' || pauses.length > 0
  const by = { postgres: [], sqlite: ['SQLite has the authority'], none: [UNDECIDED] }[authority]
  return {
    engine: 'postgres',
    closed: control?.phase !== 'finalized' && closed,
    reasons: [...by, ...pauses.map(({ reason }) => reason)],
    until: endOf(pauses),
  }
}

function sqliteFence(
  control: Target | undefined,
  notes: SourceNotes | undefined,
  waiting: SwitchWait | undefined,
): Fence {
  const by = whyClosed(control?.authority, notes, waiting)
  const pauses = notes?.pauses ?? []
  return {
    engine: 'sqlite',
    closed: notes?.closed ?? false,
    reasons: [...by, ...pauses.map(({ reason }) => reason)],
    until: by.length === 0 ? endOf(pauses) : null,
  }
}

/** By SQLite's own notes, and by what is known of PostgreSQL's. */
function whyClosed(
  authority: Authority | undefined,
  notes: SourceNotes | undefined,
  waiting: SwitchWait | undefined,
): string[] {
  if (notes === undefined || notes.authority === 'sqlite') return []
  if (authority === 'none') return [undecided(waiting)]
  if (authority === 'sqlite')
    return [
      notes.authority === 'none' ? undecided(waiting) : 'SQLite is about to be opened: it has the authority',
    ]
  if (authority === undefined && notes.authority === 'none') return [undecided(waiting)]
  return ['PostgreSQL has the authority']
}

function undecided(waiting: SwitchWait | undefined): string {
  return waiting === undefined
    ? UNDECIDED
    : `${UNDECIDED}, since ${waiting.since.toISOString()}: ${waiting.why}`
}

function endOf(pauses: readonly { readonly until: Date }[]): string | null {
  const ends = pauses.map(({ until }) => until.getTime())
  return ends.length === 0 ? null : new Date(Math.max(...ends)).toISOString()
}
