import type { StatusReport } from '../core/operator.ts'
import type { SourceFence, SourceNotes } from '../core/switching.ts'
import type { ControlState } from '../postgres/control-state.ts'
import type { SwitchWait } from '../switchover/coordinator.ts'

type Fence = StatusReport['fences'][number]

/** Both engines as applications meet them; why, and until when where that has an end. */
export function fencesOf(
  control: ControlState | undefined,
  fence: Pick<SourceFence, 'notes'> | undefined,
  waiting: SwitchWait | undefined,
): Fence[] {
  return [sqliteFence(fence, waiting), postgresGate(control)]
}

function postgresGate(control: ControlState | undefined): Fence {
  const leads = control?.authority === 'postgres'
  const pauses = leads ? control.pauses : []
  return {
    engine: 'postgres',
    closed: control?.phase !== 'finalized' && (!leads || pauses.length > 0),
    reasons: leads ? pauses.map(({ reason }) => reason) : ['SQLite has the authority'],
    until: endOf(pauses),
  }
}

function sqliteFence(fence: Pick<SourceFence, 'notes'> | undefined, waiting: SwitchWait | undefined): Fence {
  let notes: SourceNotes | undefined
  try {
    notes = fence?.notes()
  } catch {
    // A file that cannot be read is told of by the stream.
  }
  const by =
    notes?.authority === 'postgres'
      ? ['PostgreSQL has the authority']
      : notes?.authority === 'none'
        ? [undecided(waiting)]
        : []
  const pauses = notes?.pauses ?? []
  return {
    engine: 'sqlite',
    closed: notes?.closed ?? false,
    reasons: [...by, ...pauses.map(({ reason }) => reason)],
    until: by.length === 0 ? endOf(pauses) : null,
  }
}

function undecided(waiting: SwitchWait | undefined): string {
  const what = 'a change of authority is not decided yet'
  return waiting === undefined ? what : `${what}: ${waiting.why}`
}

function endOf(pauses: readonly { readonly until: Date }[]): string | null {
  const ends = pauses.map(({ until }) => until.getTime())
  return ends.length === 0 ? null : new Date(Math.max(...ends)).toISOString()
}
