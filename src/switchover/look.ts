/** What the notes of both engines say together, read so that they belong to one moment. */
import { type ControlNotes, type Notes, type Standing, standingOf } from '../core/authority.ts'
import { Failure } from '../core/errors.ts'

const TRIES = 10

/**
 * PostgreSQL's row is read before and after SQLite's notes, and has to be the same: epochs and attempts only rise, so
 * it was the same in between too. Two notes of different moments could look like a file that was put back, and stop
 * everything for nothing. Throws a transient Failure while the row keeps changing.
 */
export async function look(read: {
  readonly sqlite: () => Notes
  readonly postgres: () => Promise<ControlNotes>
}): Promise<{ readonly standing: Standing; readonly sqlite: Notes; readonly postgres: ControlNotes }> {
  let before = await read.postgres()
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const sqlite = read.sqlite()
    const after = await read.postgres()
    if (
      before.authority === after.authority &&
      before.epoch === after.epoch &&
      before.attempt === after.attempt &&
      before.phase === after.phase
    ) {
      return { standing: standingOf(sqlite, after), sqlite, postgres: after }
    }
    before = after
  }
  throw new Failure({
    code: 'notes_changing',
    policy: 'transient',
    message: 'the control row of PostgreSQL changes each time it is read',
    remedy: 'Nothing to do: it is read again. If it stays so, look for a second slipway on this migration.',
  })
}
