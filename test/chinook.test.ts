/** A real database that others made: 11 tables, 15,607 rows, journal mode `delete`, every value equal. */
import { copyFileSync, existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { expectEqual } from './support/compare.ts'
import { Slipway, Workspace } from './support/daemon.ts'
import { dump, journalMode } from './support/dump.ts'
import { createDatabase } from './support/postgres.ts'

const CHINOOK = process.env.CHINOOK_DB ?? new URL('../../shared/data/chinook.db', import.meta.url).pathname

test('Chinook: refused without --enable-wal, copied equal with it, harmless again', {
  timeout: 60_000,
}, async (context) => {
  if (!existsSync(CHINOOK)) return context.skip(`no ${CHINOOK} (CHINOOK_DB names another place)`)
  using workspace = new Workspace()
  const sqlitePath = workspace.file('chinook.db')
  copyFileSync(CHINOOK, sqlitePath)
  const before = dump(sqlitePath)
  await using database = await createDatabase()
  await using slipway = await Slipway.create({
    directory: workspace.path,
    sqlitePath,
    postgresUrl: database.url,
  })

  const refused = await slipway.run(['snapshot'])
  expect(refused.code).toBe(3)
  expect(refused.stderr).toMatch(/--enable-wal/)
  expect(dump(sqlitePath)).toEqual(before)
  expect(journalMode(sqlitePath)).toBe('delete')

  const copied = await slipway.mustRun(['snapshot', '--enable-wal'])
  expect(copied.stdout).toMatch(/15,607/)
  expect(copied.stdout + copied.stderr).toMatch(/Next: /)
  const result = await expectEqual({ sqlitePath, postgresUrl: database.url })
  expect(result).toMatchObject({ tables: 11, rows: 15_607 })

  const again = await slipway.mustRun(['snapshot'])
  expect(again.stdout + again.stderr).toMatch(/already/i)
  await expectEqual({ sqlitePath, postgresUrl: database.url })

  // Types as a person would choose them.
  const client = await database.connect()
  const { rows } = await client.query<{ column: string; type: string }>(
    `SELECT format('%s.%s', table_name, column_name) AS column, data_type AS type FROM information_schema.columns
      WHERE table_schema = 'public'`,
  )
  const types = new Map(rows.map(({ column, type }) => [column, type]))
  expect(types.get('Invoice.InvoiceDate')).toMatch(/timestamp/)
  expect(types.get('Invoice.Total')).toBe('numeric')
  expect(types.get('Track.Milliseconds')).toMatch(/integer|bigint/)
  expect(types.get('Track.Name')).toMatch(/text|character varying/)
})
