import { randomUUID } from 'node:crypto'
import { Failure } from '../core/errors.ts'
import type { Checkpoint } from '../core/position.ts'
import { quote } from '../core/quote.ts'
import type { SourceTable } from '../core/source-schema.ts'
import type { TableSpec } from '../core/table.ts'
import { captureSql, changelogSql, controlSql } from './capture-sql.ts'
import { createFence } from './fence-sql.ts'
import { readHead } from './head.ts'
import { authorityOf, pausesOf, readNoteMap } from './notes.ts'
import { isSqliteError, openWriter, type Sqlite, sourceFailure, switchJournal } from './open.ts'
import { CAPTURE, captureDrift, compileError, FENCE, inventoryHash } from './own-schema.ts'
import { restoreTriggers } from './triggers-aside.ts'

/** Slipway's notes in the source. */
export interface SourceControl {
  /** `migration` and target together: two slipways on one file would prune each other's changes (trap H24). */
  readonly owner: string
  /** The database that it is moved to, as that one tells it. */
  readonly target: string
  /** schema_version as our own installation left it. */
  readonly schemaVersion: bigint
  /** Made anew by each installation: tells whether a checkpoint belongs to the triggers that are there now. */
  readonly installation: string
  /** Hash of the SQL of our triggers. */
  readonly inventory: string
  /** Journal mode to restore; empty where slipway did not change it. */
  readonly journalModeBefore: string
}

export interface Installation {
  readonly control: SourceControl
  /** Newest change when the triggers came to act: S0 of a first copy. */
  readonly head: Checkpoint
  readonly warnings: readonly string[]
}

export function readControl(database: Sqlite): SourceControl | undefined {
  const notes = readNoteMap(database)
  if (notes === undefined) return undefined
  return {
    owner: notes.get('owner') ?? '',
    target: notes.get('target') ?? '',
    schemaVersion: BigInt(notes.get('schema_version') ?? -1),
    installation: notes.get('installation') ?? '',
    inventory: notes.get('inventory') ?? '',
    journalModeBefore: notes.get('journal_mode_before') ?? '',
  }
}

/** True where everything that `install` left is there, or stands aside, and nobody else changed the schema since. */
export function isIntact(database: Sqlite, control: SourceControl): boolean {
  return database.transaction(
    () =>
      captureDrift(database, control.installation) === undefined &&
      inventoryHash(database) === readControl(database)?.inventory,
  )()
}

interface InstallOptions {
  readonly path: string
  readonly owner: string
  readonly target: string
  readonly tables: readonly { readonly source: SourceTable; readonly spec: TableSpec }[]
  readonly journalModeBefore: string | undefined
  /** schema_version for which the tables were planned: if it moved, the caller plans again. */
  readonly plannedFor: bigint
}

/**
 * Installs capture under one BEGIN IMMEDIATE: all tables at one position, or nothing. Run again it makes every
 * trigger anew, so that ours are the newest and fire first.
 */
export function installCapture(options: InstallOptions): Installation {
  const writer = openWriter(options.path)
  try {
    const install = writer.transaction((): Installation => {
      const version = writer.pragma('schema_version', { simple: true }) as bigint
      if (version !== options.plannedFor) {
        throw new Failure({
          code: 'source_changed',
          policy: 'transient',
          message: 'the schema of the source changed while it was being planned',
          remedy: 'Nothing to do: slipway plans again.',
        })
      }
      const before = readControl(writer)
      refuseOtherOwner(options.path, before, options.owner)
      refuseFenced(writer)
      dropTriggers(writer)
      // Opened by hand, as the runbook says, it lacks them.
      restoreAside(writer)
      ensureTables(writer, Math.max(1, ...options.tables.map(({ spec }) => spec.key.columns.length)))
      const installation = randomUUID()
      // The anchor marks this installation: positions from before it cannot be mistaken for later ones.
      writer
        .prepare(
          `INSERT INTO _slipway_changelog (tbl, op, at, nonce, k0)
           VALUES ('', 'A', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), random(), ?)`,
        )
        .run(installation)
      const warnings: string[] = []
      for (const { source, spec } of options.tables) {
        const before = compileErrorOf(writer, source)
        for (const sql of captureSql(source, spec)) writer.exec(sql)
        const warning = canary(writer, source, before)
        if (warning !== undefined) warnings.push(warning)
      }
      // A pause goes on. Its triggers are the newest again, and fire first.
      if (pausesOf(readNoteMap(writer), Date.now()).length > 0) {
        createFence(
          writer,
          options.tables.map(({ spec }) => spec.name),
        )
      }
      const control: SourceControl = {
        owner: options.owner,
        target: options.target,
        schemaVersion: writer.pragma('schema_version', { simple: true }) as bigint,
        installation,
        inventory: inventoryHash(writer),
        journalModeBefore: before?.journalModeBefore || (options.journalModeBefore ?? ''),
      }
      const note = writer.prepare('INSERT OR REPLACE INTO _slipway_control (name, value) VALUES (?, ?)')
      note.run('owner', control.owner)
      note.run('target', control.target)
      note.run('schema_version', control.schemaVersion.toString())
      note.run('installation', control.installation)
      note.run('inventory', control.inventory)
      note.run('journal_mode_before', control.journalModeBefore)
      return { control, head: readHead(writer), warnings }
    })
    return install.immediate()
  } catch (error) {
    throw isSqliteError(error) ? sourceFailure(options.path, error) : error
  } finally {
    writer.close()
  }
}

export function refuseOtherOwner(path: string, control: SourceControl | undefined, owner: string): void {
  if (control === undefined || control.owner === '' || control.owner === owner) return
  throw new Failure({
    code: 'source_owned',
    message: `${path} is being moved by another slipway already (${control.owner}; this is ${owner})`,
    remedy:
      'Use the same MIGRATION_NAME, POSTGRES_URL and POSTGRES_SCHEMA, or run slipway uninstall with those of the other.',
  })
}

function ensureTables(writer: Sqlite, keyColumns: number): void {
  const columns = writer
    .prepare(`SELECT name FROM pragma_table_info('_slipway_changelog')`)
    .pluck()
    .all() as string[]
  if (columns.length === 0) writer.exec(changelogSql(keyColumns))
  else {
    for (let index = 0; index < keyColumns; index++) {
      if (!columns.includes(`k${index}`)) writer.exec(`ALTER TABLE _slipway_changelog ADD COLUMN k${index}`)
    }
  }
  const control = writer.prepare(`SELECT 1 FROM sqlite_schema WHERE name = '_slipway_control'`).get()
  if (control === undefined) writer.exec(controlSql())
}

/** With triggers set aside a new installation would be a second one. */
function refuseFenced(writer: Sqlite): void {
  const { authority } = authorityOf(readNoteMap(writer))
  if (authority === 'sqlite') return
  throw new Failure({
    code: 'source_fenced',
    policy: 'transient',
    message: `${writer.name} is fenced (${authority === 'none' ? 'a switchover is undecided' : 'PostgreSQL leads'}): capture is not installed meanwhile`,
    remedy: 'Nothing to do: slipway goes on once SQLite leads again.',
  })
}

function restoreAside(writer: Sqlite): void {
  if (readNoteMap(writer)?.has('aside')) restoreTriggers(writer, { capture: false, changed: false })
}

/** Those of capture and those of the fence. */
function dropTriggers(writer: Sqlite): string[] {
  const names = writer
    .prepare(`SELECT name FROM sqlite_schema WHERE type = 'trigger' AND (${CAPTURE} OR ${FENCE})`)
    .pluck()
    .all() as string[]
  for (const name of names) writer.exec(`DROP TRIGGER ${quote(name)}`)
  return names
}

/** See compileError; a table of generated columns alone is not looked at. */
export function compileErrorOf(writer: Sqlite, source: SourceTable): string | undefined {
  const column = source.columns.find((c) => !c.generated)
  return column && compileError(writer, source.name, column.name)
}

/**
 * A trigger of ours that would fail in the application must fail here first: every kind of write is compiled with
 * the triggers in place, and on a table without triggers of its own one row is set to itself, seen in the
 * changelog, and rolled back. The application's own triggers are not fired: they may call functions that only the
 * application has, or roll everything back.
 */
export function canary(writer: Sqlite, source: SourceTable, before: string | undefined): string | undefined {
  const after = compileErrorOf(writer, source)
  if (after !== undefined) {
    if (before !== undefined) return `${source.name}: capture could not be tried out here (${before})`
    throw new Failure({
      code: 'capture_fails',
      message: `${source.name}: writes would fail with capture in place (${after}); nothing was installed`,
      remedy: `Leave the table out (EXCLUDE_TABLES=${source.name}) and report this with the table's schema.`,
      facts: { table: source.name },
    })
  }
  const column = source.columns.find((c) => !c.generated)
  const foreign = writer
    .prepare(
      `SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE AND NOT (${CAPTURE})`,
    )
    .get(source.name)
  if (column === undefined || foreign !== undefined) return undefined
  const name = quote(source.name)
  const key = source.rowid === undefined ? primaryKey(source) : quote(source.rowid)
  writer.exec('SAVEPOINT slipway_canary')
  try {
    const seq = readHead(writer).seq
    const set = `UPDATE ${name} SET ${quote(column.name)} = ${quote(column.name)}`
    const { changes } = writer.prepare(`${set} WHERE (${key}) = (SELECT ${key} FROM ${name} LIMIT 1)`).run()
    if (changes > 0 && readHead(writer).seq === seq) {
      throw new Failure({
        code: 'capture_fails',
        message: `${source.name}: a change was made on trial and was not captured; nothing was installed`,
        remedy: `Leave the table out (EXCLUDE_TABLES=${source.name}) and report this with the table's schema.`,
        facts: { table: source.name },
      })
    }
    return undefined
  } catch (error) {
    if (!isSqliteError(error) || (error as { code?: string }).code?.startsWith('SQLITE_CORRUPT')) throw error
    // A collation or a function of the application in an index or a CHECK (trap V26).
    return `${source.name}: capture could not be tried out here (${(error as Error).message})`
  } finally {
    writer.exec('ROLLBACK TO slipway_canary')
    writer.exec('RELEASE slipway_canary')
  }
}

function primaryKey(source: SourceTable): string {
  return source.columns
    .filter((column) => column.primary > 0)
    .map((column) => quote(column.name))
    .join(', ')
}

/**
 * Takes everything of slipway out of the source and gives it its journal mode back. Returns what was removed;
 * the schema is then as it was: no fence either, and the application's triggers act again, whoever leads. A file that
 * shall stay closed to applications is not to be passed here.
 */
export async function uninstallCapture(path: string): Promise<{ removed: string[]; warnings: string[] }> {
  const writer = openWriter(path)
  const warnings: string[] = []
  try {
    const control = readControl(writer)
    const removed = writer
      .transaction(() => {
        const names = dropTriggers(writer)
        restoreAside(writer)
        for (const table of ['_slipway_changelog', '_slipway_control']) {
          if (
            writer.prepare(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?`).get(table) !==
            undefined
          ) {
            writer.exec(`DROP TABLE ${table}`)
            names.push(table)
          }
        }
        return names
      })
      .immediate()
    const mode = control?.journalModeBefore ?? ''
    if (mode !== '') {
      const now = await switchJournal(writer, mode).catch((error: unknown) => (error as Error).message)
      if (now !== mode) {
        warnings.push(
          `the journal mode stays WAL (${now}): other connections are open. It was "${mode}"; with the application stopped: sqlite3 ${path} 'PRAGMA journal_mode=${mode}'`,
        )
      }
    }
    return { removed, warnings }
  } catch (error) {
    throw isSqliteError(error) ? sourceFailure(path, error) : error
  } finally {
    writer.close()
  }
}
