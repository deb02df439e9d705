import { describe, expect, test } from 'vitest'
import { Process, until, Workspace } from '../support/daemon.ts'
import { capture, fenceOf, NEVER } from '../support/fence.ts'
import { attempt, execute } from '../support/foreign.ts'

// Applications take a constraint error for "duplicate" and go on. What refuses a write because another engine leads
// must not look like one, whatever the statement says about conflicts.

const SOURCE = [
  'PRAGMA journal_mode = WAL',
  'CREATE TABLE articles (id INTEGER PRIMARY KEY, link TEXT UNIQUE, title TEXT)',
  'CREATE TABLE pairs (a TEXT, b TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID',
  `CREATE TABLE "odd ""it's"" ключ" (k TEXT PRIMARY KEY, v)`,
  'CREATE TABLE exact (id INTEGER PRIMARY KEY, v ANY) STRICT',
  'CREATE TABLE children (id INTEGER PRIMARY KEY, article INTEGER REFERENCES articles ON DELETE CASCADE)',
  'CREATE VIEW titles AS SELECT id, title FROM articles',
  'CREATE TRIGGER titled INSTEAD OF UPDATE ON titles BEGIN UPDATE articles SET title = NEW.title WHERE id = NEW.id; END',
  // Would let each write vanish before anybody else sees it.
  'CREATE TRIGGER ignored BEFORE INSERT ON exact BEGIN SELECT raise(IGNORE); END',
  'CREATE TRIGGER ignored_too BEFORE UPDATE ON exact BEGIN SELECT raise(IGNORE); END',
  `INSERT INTO articles VALUES (1, 'one', 'One'), (2, 'two', 'Two')`,
  `INSERT INTO pairs VALUES ('a', 'b')`,
  `INSERT INTO "odd ""it's"" ключ" VALUES ('k', 1)`,
  `INSERT INTO children VALUES (1, 1)`,
]

const WRITES = [
  `INSERT INTO articles (link) VALUES ('one')`,
  `INSERT INTO articles (link) VALUES ('three')`,
  `INSERT OR IGNORE INTO articles (link) VALUES ('one')`,
  `INSERT OR REPLACE INTO articles (link) VALUES ('one')`,
  `INSERT OR FAIL INTO articles (link) VALUES ('three')`,
  `INSERT OR ABORT INTO articles (link) VALUES ('three')`,
  `INSERT OR ROLLBACK INTO articles (link) VALUES ('three')`,
  `REPLACE INTO articles (id, link) VALUES (2, 'other')`,
  `INSERT INTO articles (link) VALUES ('one') ON CONFLICT DO NOTHING`,
  `INSERT INTO articles (link) VALUES ('one') ON CONFLICT (link) DO UPDATE SET title = 'x'`,
  `INSERT INTO articles (link) SELECT link || '!' FROM articles`,
  `INSERT INTO articles (link) VALUES ('three') RETURNING id`,
  `UPDATE articles SET title = 'x'`,
  `UPDATE OR IGNORE articles SET link = 'one'`,
  `UPDATE OR REPLACE articles SET link = 'one' WHERE id = 2`,
  `UPDATE articles SET title = t.title FROM articles AS t WHERE t.id = 1`,
  `UPDATE titles SET title = 'x' WHERE id = 1`,
  `DELETE FROM articles WHERE id = 1`,
  'DELETE FROM articles',
  `INSERT OR IGNORE INTO pairs VALUES ('a', 'b')`,
  `INSERT INTO pairs VALUES ('c', 'd') ON CONFLICT DO NOTHING`,
  'UPDATE OR IGNORE pairs SET a = 1',
  'DELETE FROM pairs',
  `REPLACE INTO "odd ""it's"" ключ" VALUES ('k', 2)`,
  `DELETE FROM "ODD ""IT'S"" ключ"`,
  'INSERT OR IGNORE INTO exact VALUES (1, 1)',
  'UPDATE OR IGNORE children SET article = NULL',
]

async function fenced(): Promise<{
  path: string
  fence: ReturnType<typeof fenceOf>
  stack: DisposableStack
}> {
  const stack = new DisposableStack()
  const path = stack.use(new Workspace()).file('app.db')
  await execute(path, SOURCE)
  const fence = stack.use(fenceOf(path, capture(path)))
  return { path, fence, stack }
}

function refusals(outcomes: Awaited<ReturnType<typeof attempt>>, text: string): unknown[] {
  return outcomes.map(({ error }) => ({
    class: error?.class,
    name: error?.name,
    told: error?.message.includes(text),
  }))
}

const REFUSED = { class: 'OperationalError', name: 'SQLITE_ERROR', told: true }

describe.each(['undecided', 'paused'])('a file that is %s', (state) => {
  test('every way to write meets an operational error with a text, and writes nothing', async () => {
    const { path, fence, stack } = await fenced()
    using _ = stack
    const content = 'SELECT (SELECT group_concat(link || title) FROM articles), (SELECT count(*) FROM pairs)'
    const [before] = await execute(path, [content])
    if (state === 'paused') await fence.pause("a deploy that's ours", new Date(Date.now() + 600_000))
    else {
      using lock = await fence.lock(5_000, NEVER)
      lock.raise({ epoch: 2, attempt: 1 })
      await lock.commit()
    }
    const text = state === 'paused' ? 'slipway: writes are paused until' : 'slipway: writes are closed here'
    for (const pragmas of [{}, { recursive_triggers: 1, foreign_keys: 1 }]) {
      expect(refusals(await attempt(path, WRITES, { pragmas }), text)).toEqual(WRITES.map(() => REFUSED))
    }
    // A hardened connection may be told in SQLite's words.
    const hardened = await attempt(path, WRITES, { pragmas: { trusted_schema: 0 } })
    expect(refusals(hardened, '')).toEqual(WRITES.map(() => REFUSED))
    // Reads go on, and a transaction that met the fence is still the application's to end.
    const [, , refused, read, end] = await attempt(path, [
      'BEGIN IMMEDIATE',
      'SELECT 1',
      'DELETE FROM pairs',
      content,
      'COMMIT',
    ])
    expect(refused?.error?.name).toBe('SQLITE_ERROR')
    expect([read?.rows, end?.error]).toEqual([before?.rows, undefined])
  })
})

test('a build without JSON is refused as well', async () => {
  const { path, fence, stack } = await fenced()
  using _ = stack
  await fence.pause('a deploy', new Date(Date.now() + 600_000))
  const result = await new Process('python3', ['-c', WITHOUT_JSON, path]).end(20_000)
  // SQLITE_ERROR, with SQLite's own words.
  expect(result.stdout + result.stderr).toMatch(/^1 .*json_extract/)
})

// sqlite3_create_function with nothing to call takes the function away, as a build without it has it.
const WITHOUT_JSON = `
import ctypes, ctypes.util, sys
sqlite = ctypes.CDLL(ctypes.util.find_library('sqlite3') or 'libsqlite3.so.0')
sqlite.sqlite3_errmsg.restype = ctypes.c_char_p
db = ctypes.c_void_p()
sqlite.sqlite3_open(sys.argv[1].encode(), ctypes.byref(db))
sqlite.sqlite3_create_function_v2(db, b'json_extract', -1, 1, None, None, None, None, None)
code = sqlite.sqlite3_exec(db, b"INSERT OR IGNORE INTO pairs VALUES ('x', 'y')", None, None, None)
print(code, sqlite.sqlite3_errmsg(db).decode())
`

// The first user's bot: known links are no news.
const BOT = `
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=5, isolation_level=None)
refused = 0
for n in range(300):
    while True:
        try:
            db.execute('INSERT INTO articles (link, title) VALUES (?, ?)', (f'link {n}', 'news'))
        except sqlite3.IntegrityError:
            pass
        except sqlite3.OperationalError as error:
            if 'slipway' not in str(error):
                raise
            refused += 1
            time.sleep(0.01)
            continue
        break
    print(n, flush=True)
    time.sleep(0.002)
print('refused', refused)
`

test('a bot that swallows IntegrityError loses nothing', { timeout: 60_000 }, async () => {
  const { path, fence, stack } = await fenced()
  using _ = stack
  const bot = new Process('python3', ['-c', BOT, path])
  for (const [round, seen] of [20, 100, 180].entries()) {
    await until(() => bot.stdout.includes(`\n${seen}\n`), { ms: 20_000, describe: () => bot.tail() })
    const attempt = 1 + 2 * round
    {
      using lock = await fence.lock(5_000, NEVER)
      lock.raise({ epoch: 2, attempt })
      await lock.commit()
    }
    const met = bot.stdout.length
    // It stands before the fence: nothing more is acknowledged.
    await new Promise((resolve) => setTimeout(resolve, 150))
    const stood = bot.stdout.length
    await new Promise((resolve) => setTimeout(resolve, 150))
    expect(bot.stdout.length).toBe(stood)
    expect(stood - met).toBeLessThan(20)
    using lock = await fence.lock(5_000, NEVER)
    lock.lower({ from: { authority: 'none', epoch: 2, attempt }, epoch: 1, attempt: attempt + 1 })
    await lock.commit()
  }
  const result = await bot.end(40_000)
  expect(result.stderr).toBe('')
  expect(Number(/refused (\d+)/.exec(result.stdout)?.[1])).toBeGreaterThan(0)
  const [count] = await execute(path, [`SELECT count(DISTINCT link) FROM articles WHERE link GLOB 'link *'`])
  expect(count?.rows).toEqual([[300]])
})
