import { showKey } from '../core/key.ts'
import type { QuarantineReport } from '../core/operator.ts'
import type { TableSpec } from '../core/table.ts'
import { openReader, type Sqlite } from '../sqlite/open.ts'
import { asideCounts, readAside } from '../sqlite/reverse-notes.ts'

/** Rows that SQLite does not take back, by table. */
export function asideTables(path: string): QuarantineReport['tables'] {
  return reading(path, (database) => asideCounts(database))
}

/** The answer of `GET /quarantine` while PostgreSQL leads: every one of these rows is in the way of a rollback. */
export function readAsideReport(path: string, tables: readonly TableSpec[], limit: number): QuarantineReport {
  return reading(path, (database) => {
    const { total, entries } = readAside(database, limit)
    return {
      direction: 'reverse',
      total,
      blocking: total,
      tables: asideCounts(database),
      entries: entries.map(({ table: name, key, column, value, ...entry }) => {
        const table = tables.find((candidate) => candidate.name === name)
        return {
          ...entry,
          table: name,
          target: table?.target ?? name,
          key: table === undefined ? key : showKey(table.key.columns, key),
          column: column === '' ? null : column,
          value: value === '' ? null : value,
          blocking: true,
        }
      }),
    }
  })
}

function reading<T>(path: string, read: (database: Sqlite) => T): T {
  const database = openReader(path)
  try {
    return database.transaction(() => read(database))()
  } finally {
    database.close()
  }
}
