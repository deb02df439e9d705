/**
 * What a writer does in one transaction: a row in the journal, some work of its own, its tally, an event, and the
 * entry of the ledger. Each writer has rows of its own but for accounts and profiles, so that no constraint of the
 * application ever refuses.
 */
import type { Random } from '../../src/demo/random.ts'
import { type Engine, payloadOf } from './history.ts'
import { ACCOUNTS, PROFILE_COUNT, TOTAL_BALANCE } from './schema.ts'

export interface Statement {
  /** Parameters are `?`. */
  readonly sql: string
  readonly parameters: readonly (string | number)[]
  /** What its one row's one column must be. */
  readonly expected?: number
}

export interface Write {
  readonly writer: number
  readonly n: number
  readonly name: string
  /** The one at EPOCH_AT yields the epoch. */
  statements(engine: Engine): readonly Statement[]
}

/** Index of the statement that yields the epoch in which it was accepted. */
export const EPOCH_AT = 1

type Work = (engine: Engine) => Statement[]

const run = (sql: string, ...parameters: (string | number)[]): Statement => ({ sql, parameters })

const EPOCH: Readonly<Record<Engine, string>> = {
  // Nothing is noted before the first change.
  sqlite: `coalesce((SELECT CAST(value AS INTEGER) FROM _slipway_control WHERE name = 'epoch'), 1)`,
  postgres: '(SELECT epoch FROM slipway.control)',
}

/** The next write of a writer. */
export function nextWrite(writer: number, n: number, random: Random): Write {
  const [name, work] = choose(writer, n, random)
  const tally = `writer ${writer}`
  return {
    writer,
    n,
    name,
    statements: (engine) => [
      // First of all, so that the gate of PostgreSQL is passed and held before the epoch is read.
      run('INSERT INTO journal (writer, n, kind) VALUES (?, ?, ?)', writer, n, name),
      // Then the entry: where an earlier attempt has landed unheard, its key is what refuses this one.
      run(
        `INSERT INTO ledger (writer, n, engine, epoch, prev, payload)
         VALUES (?, ?, ?, ${EPOCH[engine]}, (SELECT coalesce(max(n), 0) FROM ledger WHERE writer = ?), ?)
         RETURNING epoch`,
        writer,
        n,
        engine,
        writer,
        payloadOf(writer, n),
      ),
      ...work(engine),
      run(
        `INSERT INTO tallies (name, total, last) VALUES (?, 1, ?)
         ON CONFLICT (name) DO UPDATE SET total = tallies.total + 1, last = excluded.last`,
        tally,
        n,
      ),
      run('INSERT INTO events (writer, n, body) VALUES (?, ?, ?)', writer, n, name),
    ],
  }
}

function choose(writer: number, n: number, random: Random): [name: string, work: Work] {
  const works: [weight: number, name: string, make: () => Work][] = [
    [20, 'transfer', () => transfer(random)],
    [6, 'audit', () => audit],
    [10, 'folder', () => addFolder(writer, n, random)],
    [5, 'drop_folder', () => dropFolder(writer)],
    [4, 'move_files', () => moveFiles(writer)],
    [10, 'upsert_slot', () => upsertSlot(writer, n, random)],
    [6, 'replace_slot', () => replaceSlot(writer, n, random)],
    [6, 'swap_slots', () => swapSlots(writer, random)],
    [10, 'view', () => view(random)],
    [6, 'mark', () => mark(writer, n, random)],
    [4, 'rename_mark', () => renameMark(writer, random)],
    [3, 'scratch', () => scratch(writer, n)],
  ]
  let left = random.whole(1, 90)
  const [, name, make] = works.find(([weight]) => {
    left -= weight
    return left <= 0
  })!
  return [name, make()]
}

function transfer(random: Random): Work {
  const giver = random.whole(1, ACCOUNTS)
  const taker = 1 + ((giver + random.whole(0, ACCOUNTS - 2)) % ACCOUNTS)
  const amount = random.whole(1, 50)
  // In the order of ids, so that two transfers seldom wait for each other.
  const moves = [
    [giver, -amount],
    [taker, amount],
  ].sort(([a], [b]) => a! - b!)
  return () =>
    moves.map(([id, by]) => run('UPDATE accounts SET balance = balance + ? WHERE id = ?', by!, id!))
}

const audit: Work = () => [
  { sql: 'SELECT sum(balance) FROM accounts', parameters: [], expected: TOTAL_BALANCE },
]

function addFolder(writer: number, n: number, random: Random): Work {
  const name = `folder ${writer}/${n}`
  const labels = Array.from({ length: random.whole(0, 3) }, (_, index) => `файл ${index}`)
  return () => [
    run('INSERT INTO folders (owner, name) VALUES (?, ?)', writer, name),
    ...labels.map((label) =>
      run(
        'INSERT INTO files (folder_id, label) VALUES ((SELECT id FROM folders WHERE name = ?), ?)',
        name,
        label,
      ),
    ),
  ]
}

/** Its files go with it. */
function dropFolder(writer: number): Work {
  return () => [
    run(
      'DELETE FROM folders WHERE id = (SELECT min(id) FROM folders WHERE owner = ?) AND owner = ?',
      writer,
      writer,
    ),
  ]
}

function moveFiles(writer: number): Work {
  return () => [
    run(
      `UPDATE files SET folder_id = (SELECT max(id) FROM folders WHERE owner = ?)
        WHERE folder_id = (SELECT min(id) FROM folders WHERE owner = ?)`,
      writer,
      writer,
    ),
  ]
}

const slot = (writer: number, random: Random): string => `slot ${writer}/${random.whole(1, 12)}`

function upsertSlot(writer: number, n: number, random: Random): Work {
  const code = slot(writer, random)
  return () => [
    run(
      `INSERT INTO slots (code, holder, note) VALUES (?, ?, 'upsert')
       ON CONFLICT (code) DO UPDATE SET holder = excluded.holder, note = excluded.note`,
      code,
      n,
    ),
  ]
}

/** The row that had the code goes, and another comes under a new id. */
function replaceSlot(writer: number, n: number, random: Random): Work {
  const code = slot(writer, random)
  return (engine) =>
    engine === 'sqlite'
      ? [run(`REPLACE INTO slots (code, holder, note) VALUES (?, ?, 'replace')`, code, n)]
      : [
          run('DELETE FROM slots WHERE code = ?', code),
          run(`INSERT INTO slots (code, holder, note) VALUES (?, ?, 'replace')`, code, n),
        ]
}

function swapSlots(writer: number, random: Random): Work {
  const [one, other] = [slot(writer, random), slot(writer, random)]
  if (one === other) return () => []
  const aside = `slot ${writer}/aside`
  const rename = (to: string, from: string) => run('UPDATE slots SET code = ? WHERE code = ?', to, from)
  return () => [rename(aside, one), rename(one, other), rename(other, aside)]
}

function view(random: Random): Work {
  const id = random.whole(1, PROFILE_COUNT)
  return () => [run('UPDATE profiles SET views = views + 1 WHERE id = ?', id)]
}

const markOf = (writer: number, random: Random): string => `mark ${writer}/${random.whole(1, 9)}`

function mark(writer: number, n: number, random: Random): Work {
  const name = markOf(writer, random)
  return () => [
    run(
      `INSERT INTO marks (name, hits, note) VALUES (?, 1, ?)
       ON CONFLICT (name) DO UPDATE SET hits = marks.hits + 1`,
      name,
      `first ${n}`,
    ),
  ]
}

/** Another key for the same row. */
function renameMark(writer: number, random: Random): Work {
  const [from, to] = [markOf(writer, random), markOf(writer, random)]
  if (from === to) return () => []
  return () => [
    run('DELETE FROM marks WHERE name = ?', to),
    run('UPDATE marks SET name = ? WHERE name = ?', to, from),
  ]
}

/** Rows without a key that come and go, two of them equal. */
function scratch(writer: number, n: number): Work {
  return () => [
    run(`DELETE FROM events WHERE writer = ? AND body = 'scratch'`, -writer),
    run(`INSERT INTO events (writer, n, body) VALUES (?, ?, 'scratch')`, -writer, n),
    run(`INSERT INTO events (writer, n, body) VALUES (?, ?, 'scratch')`, -writer, n),
  ]
}
