import { quote } from '../core/quote.ts'
import type { Connection } from './connection.ts'
import type { Control } from './control.ts'
import { displaced } from './control.ts'

/** Why a rollback would lose or change something, by code; without a reason the note goes. As the holder. */
export async function noteUnsafe(
  connection: Connection,
  control: Control,
  code: string,
  reason: string | undefined,
): Promise<void> {
  await connection.use(async (client) => {
    const { rowCount } = await client.query(
      `UPDATE slipway.control SET unsafe = CASE WHEN $3::text IS NULL THEN unsafe - $2::text
         ELSE unsafe || jsonb_build_object($2::text, $3::text) END
       WHERE migration = $1 AND holder = $4 AND authority = 'postgres'`,
      [control.migration, code, reason ?? null, control.holder],
    )
    if (rowCount === 0) throw displaced()
  })
}

/**
 * A server that was put back to before a change of authority, while SQLite leads in a higher epoch: it learns that
 * epoch, closed as it is. Its own row says that it does not lead, so nobody could write there.
 */
export async function followEpoch(connection: Connection, control: Control, epoch: number): Promise<void> {
  await connection.transaction(async (client) => {
    const { rows } = await client.query(
      `UPDATE slipway.control SET epoch = $2, phase = CASE WHEN phase IN ('new', 'snapshotting') THEN phase ELSE 'catching_up' END
       WHERE migration = $1 AND holder = $3 AND authority = 'sqlite' AND epoch < $2 RETURNING id`,
      [control.migration, epoch, control.holder],
    )
    if (rows[0] === undefined) throw displaced()
    await client.query('SELECT setval($1::regclass, $2)', [
      `slipway.${quote(`gate_${rows[0].id}`)}`,
      2 * epoch,
    ])
  })
  control.enterEpoch(epoch)
}
