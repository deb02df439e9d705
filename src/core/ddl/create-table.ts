import { Reader, Unreadable } from './tokens.ts'

/** What a CREATE TABLE says and no pragma tells. */
export interface CreateTable {
  readonly columns: readonly {
    readonly name: string
    /** `BINARY` where none is declared; in capitals. */
    readonly collation: string
    /** The expression of a generated column. */
    readonly generatedSql: string | undefined
    readonly stored: boolean
  }[]
  readonly checks: readonly {
    readonly name: string | undefined
    readonly sql: string
    /** The column that it stands at. */
    readonly column: string | undefined
  }[]
  readonly foreignKeys: readonly {
    readonly name: string | undefined
    readonly columns: readonly string[]
    readonly parent: string
    /** DEFERRABLE INITIALLY DEFERRED. */
    readonly deferred: boolean
  }[]
  /** ON CONFLICT clauses other than ABORT, which is what every engine does: `email UNIQUE ON CONFLICT REPLACE`. */
  readonly conflicts: readonly string[]
}

interface Found {
  columns: CreateTable['columns'][number][]
  checks: CreateTable['checks'][number][]
  foreignKeys: CreateTable['foreignKeys'][number][]
  conflicts: string[]
}

const TABLE_CONSTRAINTS = ['CONSTRAINT', 'PRIMARY', 'UNIQUE', 'CHECK', 'FOREIGN'] as const

/** Reads a CREATE TABLE as sqlite_schema keeps it; undefined for text that it cannot follow. */
export function readCreateTable(sql: string): CreateTable | undefined {
  try {
    return read(new Reader(sql))
  } catch (error) {
    if (error instanceof Unreadable) return undefined
    throw error
  }
}

function read(reader: Reader): CreateTable {
  if (!reader.takeWords('CREATE')) throw new Unreadable('no CREATE')
  if (!reader.takeWords('TEMP')) reader.takeWords('TEMPORARY')
  if (!reader.takeWords('TABLE')) throw new Unreadable('no TABLE')
  reader.takeWords('IF', 'NOT', 'EXISTS')
  reader.takeName()
  if (reader.takeSymbol('.')) reader.takeName()
  reader.expectSymbol('(')
  const found: Found = { columns: [], checks: [], foreignKeys: [], conflicts: [] }
  do {
    if (TABLE_CONSTRAINTS.some((word) => reader.atWords(word))) readTableConstraints(reader, found)
    else readColumn(reader, found)
  } while (reader.takeSymbol(','))
  reader.expectSymbol(')')
  return found
}

function atEnd(reader: Reader): boolean {
  return reader.done || reader.atSymbol(',') || reader.atSymbol(')')
}

/** Past something that says nothing here, with whatever stands in its parentheses. */
function skip(reader: Reader): void {
  if (reader.atSymbol('(')) reader.takeGroup()
  else reader.next()
}

function readColumn(reader: Reader, found: Found): void {
  const name = reader.takeName()
  let collation = 'BINARY'
  let generatedSql: string | undefined
  let stored = false
  let constraint: string | undefined
  while (!atEnd(reader)) {
    if (reader.takeWords('CONSTRAINT')) {
      constraint = reader.takeName()
      continue
    }
    if (reader.takeWords('CHECK'))
      found.checks.push({ name: constraint, sql: reader.takeGroup(), column: name })
    else if (reader.takeWords('COLLATE')) collation = reader.takeName().toUpperCase()
    else if (reader.takeWords('DEFAULT')) {
      // `DEFAULT (…)`, `DEFAULT -1`, `DEFAULT word`: the word may be spelled like a constraint.
      if (!reader.takeSymbol('-')) reader.takeSymbol('+')
      skip(reader)
    } else if (reader.takeWords('AS')) {
      generatedSql = reader.takeGroup()
      stored = reader.takeWords('STORED')
    } else if (reader.takeWords('REFERENCES')) readReferences(reader, found, constraint, [name])
    else if (!readConflict(reader, found, name)) skip(reader)
    constraint = undefined
  }
  found.columns.push({ name, collation, generatedSql, stored })
}

/** SQLite lets the commas between these be left out. */
function readTableConstraints(reader: Reader, found: Found): void {
  let constraint: string | undefined
  while (!atEnd(reader)) {
    if (reader.takeWords('CONSTRAINT')) {
      constraint = reader.takeName()
      continue
    }
    if (reader.takeWords('CHECK')) {
      found.checks.push({ name: constraint, sql: reader.takeGroup(), column: undefined })
      if (reader.takeWords('ON', 'CONFLICT')) reader.next()
    } else if (reader.takeWords('FOREIGN', 'KEY')) {
      const columns = names(reader.takeGroup())
      if (!reader.takeWords('REFERENCES')) throw new Unreadable('FOREIGN KEY without REFERENCES')
      readReferences(reader, found, constraint, columns)
    } else if (!readConflict(reader, found, undefined)) skip(reader)
    constraint = undefined
  }
}

function readReferences(
  reader: Reader,
  found: Found,
  name: string | undefined,
  columns: readonly string[],
): void {
  const parent = reader.takeName()
  if (reader.atSymbol('(')) reader.takeGroup()
  let deferred = false
  for (;;) {
    if (reader.takeWords('ON')) {
      reader.next()
      if (!reader.takeWords('SET') && !reader.takeWords('NO')) {
        reader.next()
        continue
      }
      reader.next()
    } else if (reader.takeWords('MATCH')) reader.next()
    else if (reader.takeWords('NOT', 'DEFERRABLE') || reader.atWords('DEFERRABLE')) {
      const deferrable = reader.takeWords('DEFERRABLE')
      if (!reader.takeWords('INITIALLY')) continue
      deferred = reader.next().text.toUpperCase() === 'DEFERRED' && deferrable
    } else break
  }
  found.foreignKeys.push({ name, columns, parent, deferred })
}

/** `PRIMARY KEY`, `UNIQUE`, `NOT NULL`, with their columns and what is to happen on a conflict. */
function readConflict(reader: Reader, found: Found, column: string | undefined): boolean {
  const what = reader.takeWords('PRIMARY', 'KEY')
    ? 'PRIMARY KEY'
    : reader.takeWords('UNIQUE')
      ? 'UNIQUE'
      : reader.takeWords('NOT', 'NULL')
        ? 'NOT NULL'
        : undefined
  if (what === undefined) return false
  const of = reader.atSymbol('(') ? `${what} (${reader.takeGroup()})` : what
  if (!reader.takeWords('ASC')) reader.takeWords('DESC')
  if (reader.takeWords('ON', 'CONFLICT')) {
    const clause = reader.next().text.toUpperCase()
    if (clause !== 'ABORT')
      found.conflicts.push(`${column === undefined ? '' : `${column} `}${of} ON CONFLICT ${clause}`)
  }
  return true
}

function names(list: string): string[] {
  const reader = new Reader(list)
  const found = [reader.takeName()]
  while (reader.takeSymbol(',')) found.push(reader.takeName())
  return found
}
