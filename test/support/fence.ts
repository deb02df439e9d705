/** A captured file without a server: what the fence needs, and nothing else. */
import { join } from 'node:path'
import type { TableSpec } from '../../src/core/table.ts'
import { installCapture } from '../../src/sqlite/capture.ts'
import { SqliteFence } from '../../src/sqlite/fence.ts'
import { introspect } from '../../src/sqlite/introspect.ts'
import { openReader } from '../../src/sqlite/open.ts'
import { Process, until } from './daemon.ts'

const HOLDER = join(import.meta.dirname, 'fence-holder.ts')

/** Installs capture on every table; returns their names. */
export function capture(path: string, exclude: readonly string[] = []): string[] {
  const reader = openReader(path)
  try {
    const inventory = introspect(reader, [], exclude)
    const tables = inventory.tables.map((source) => {
      const primary = source.columns.filter((column) => column.primary > 0)
      const spec: TableSpec = {
        name: source.name,
        schema: 'public',
        target: source.name,
        key:
          primary.length > 0
            ? { kind: 'primary', columns: primary.map(({ name }) => ({ name, target: name, type: 'text' })) }
            : {
                kind: 'rowid',
                columns: [{ name: source.rowid ?? 'rowid', target: '_slipway_rowid', type: 'bigint' }],
              },
        columns: [],
        rowid: source.rowid,
        owned: true,
      }
      return { source, spec }
    })
    installCapture({
      path,
      owner: 'a test',
      target: 'a server',
      tables,
      journalModeBefore: undefined,
      plannedFor: inventory.schemaVersion,
    })
    return tables.map(({ spec }) => spec.name)
  } finally {
    reader.close()
  }
}

/** The fence of a file whose tables were captured. */
export function fenceOf(path: string, tables: readonly string[]): SqliteFence {
  return new SqliteFence({ path, tables: () => tables })
}

export const NEVER = new AbortController().signal

/** Does something with the fence in a process of its own, which then stays where it is until it is killed. */
export async function holder(path: string, tables: readonly string[], what: string): Promise<Process> {
  const process = new Process(globalThis.process.execPath, [HOLDER, path, JSON.stringify(tables), what])
  await until(() => process.stdout.includes('ready'), { ms: 20_000, describe: () => process.tail() })
  return process
}
